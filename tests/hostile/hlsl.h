// Defines in C++ the parts of HLSL that naga's output uses.
#pragma once
#include "dispatch.h"
#include "vectors.h"

// Not `static`, so that the compiler must assume that a call changes the variable: while one invocation waits at a
// barrier, others write to it.
#define groupshared

namespace hlsl {
using namespace shading;

NAMES(double, double)
NAMES(uint64_t, uint64_t)
NAMES(int64_t, int64_t)

template <int N> inline vec<float, N> asfloat(vec<uint, N> v) { return same_bits<vec<float, N>>(v); }
template <int N> inline vec<uint, N> asuint(vec<float, N> v) { return same_bits<vec<uint, N>>(v); }
template <int N> inline vec<uint, N> asuint(vec<int, N> v) { return same_bits<vec<uint, N>>(v); }
template <int N> inline vec<int, N> asint(vec<uint, N> v) { return same_bits<vec<int, N>>(v); }
template <int N> inline vec<int, N> asint(vec<float, N> v) { return same_bits<vec<int, N>>(v); }
inline float asfloat(uint v) { return same_bits<float>(v); }
inline uint asuint(float v) { return same_bits<uint>(v); }
inline uint asuint(int v) { return same_bits<uint>(v); }
inline int asint(uint v) { return same_bits<int>(v); }
inline void GroupMemoryBarrierWithGroupSync() { workgroup_barrier(); }
template <class T> inline T mad(T a, T b, T c) { return fma(a, b, c); }

// Functions for `(v).xx` and `condition ? accepted : rejected`, which C++ supports neither for scalars nor for vectors.
template <class T> inline vec<T, 2> splat2(T v) { return vec<T, 2>(v); }
template <class T> inline vec<T, 3> splat3(T v) { return vec<T, 3>(v); }
template <class T> inline vec<T, 4> splat4(T v) { return vec<T, 4>(v); }
template <class C, class T> inline T conditional(C condition, T accepted, T rejected) {
    return select(rejected, accepted, condition);
}

// Computes double(float(v)). With LOOSE it does not round, as if the compiler had dropped both conversions.
#ifdef LOOSE
inline double through_float(double v) { return v; }
#else
inline double through_float(double v) { return double(float(v)); }
#endif
inline double2 through_float(double2 v) { return double2(through_float(v.x), through_float(v.y)); }

class RWByteAddressBuffer {
    Buffer buffer;

  public:
    void bind(Buffer b) { buffer = b; }
    // Outside the buffer, reads return 0 and writes are dropped, as in Direct3D.
    template <class T> T Load(uint offset) const {
        T value = {};
        if (offset + sizeof(T) <= buffer.size) memcpy(&value, buffer.bytes + offset, sizeof(T));
        return value;
    }
    template <class T> void Store(uint offset, T value) {
        if (offset + sizeof(T) <= buffer.size) memcpy(buffer.bytes + offset, &value, sizeof(T));
    }
};
typedef RWByteAddressBuffer ByteAddressBuffer;

} // namespace hlsl
