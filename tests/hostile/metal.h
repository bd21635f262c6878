// Defines in C++ the parts of MSL and metal_stdlib that naga's output uses.
#pragma once
#include "dispatch.h"
#include "vectors.h"

#define kernel static inline
#define device
#define constant const
#define threadgroup
#define thread

namespace metal {
using namespace shading;
using ::uint;
enum class mem_flags { mem_none, mem_device, mem_threadgroup };
inline void threadgroup_barrier(mem_flags) { workgroup_barrier(); }
} // namespace metal

template <class T, class U> inline T as_type(U u) { return shading::same_bits<T>(u); }
