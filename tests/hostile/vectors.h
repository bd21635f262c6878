// Defines vectors of 2 to 4 components, as in shading languages: operators work component by component, and comparisons
// return vectors of bool. metal.h and hlsl.h add the parts that differ between the two languages.
#pragma once
#include <stdint.h>
#include <string.h>

typedef uint32_t uint;

namespace shading {

// Sizes and alignments are those of Metal, which agree with WGSL.
template <class T, int N> struct vec;

template <class T> struct alignas(2 * sizeof(T)) vec<T, 2> {
    T x, y;
    vec() = default;
    explicit vec(T s) : x(s), y(s) {}
    vec(T a, T b) : x(a), y(b) {}
    // Converts values.
    template <class U> explicit vec(vec<U, 2> v) : x(T(v.x)), y(T(v.y)) {}
    // Reinterprets the bits. naga's HLSL omits 64-bit bit casts: see `with_visible_bit_casts` in cpp.rs.
    template <class U> operator vec<U, 2>() const {
        static_assert(sizeof(T) == 8 && sizeof(U) == 8, "only 64-bit bit casts are implicit");
        return __builtin_bit_cast(vec<U, 2>, *this);
    }
    T& operator[](int i) { return (&x)[i]; }
    T operator[](int i) const { return (&x)[i]; }
};

template <class T> struct alignas(4 * sizeof(T)) vec<T, 3> {
    T x, y, z;
    vec() = default;
    explicit vec(T s) : x(s), y(s), z(s) {}
    vec(T a, T b, T c) : x(a), y(b), z(c) {}
    template <class U> explicit vec(vec<U, 3> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)) {}
    T& operator[](int i) { return (&x)[i]; }
    T operator[](int i) const { return (&x)[i]; }
};

template <class T> struct alignas(4 * sizeof(T)) vec<T, 4> {
    T x, y, z, w;
    vec() = default;
    explicit vec(T s) : x(s), y(s), z(s), w(s) {}
    vec(T a, T b, T c, T d) : x(a), y(b), z(c), w(d) {}
    template <class U> explicit vec(vec<U, 4> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
    T& operator[](int i) { return (&x)[i]; }
    T operator[](int i) const { return (&x)[i]; }
};

// Defines `a op b` for two vectors, and for a vector and a scalar on either side.
#define OPERATOR(op)                                                                                        \
    template <class T, int N> inline vec<T, N> operator op(vec<T, N> a, vec<T, N> b) {                      \
        vec<T, N> r;                                                                                        \
        for (int i = 0; i < N; i++) r[i] = T(a[i] op b[i]);                                                 \
        return r;                                                                                           \
    }                                                                                                       \
    template <class T, int N> inline vec<T, N> operator op(vec<T, N> a, T b) { return a op vec<T, N>(b); }  \
    template <class T, int N> inline vec<T, N> operator op(T a, vec<T, N> b) { return vec<T, N>(a) op b; }
OPERATOR(+) OPERATOR(-) OPERATOR(*) OPERATOR(/) OPERATOR(&) OPERATOR(|) OPERATOR(^)
#undef OPERATOR

// The shift count is a vector of uint, for 64-bit integers, too.
#define SHIFT(op)                                                                                           \
    template <class T, int N> inline vec<T, N> operator op(vec<T, N> a, vec<uint, N> b) {                   \
        vec<T, N> r;                                                                                        \
        for (int i = 0; i < N; i++) r[i] = a[i] op b[i];                                                    \
        return r;                                                                                           \
    }
SHIFT(<<) SHIFT(>>)
#undef SHIFT

#define COMPARISON(op)                                                                                      \
    template <class T, int N> inline vec<bool, N> operator op(vec<T, N> a, vec<T, N> b) {                   \
        vec<bool, N> r;                                                                                     \
        for (int i = 0; i < N; i++) r[i] = a[i] op b[i];                                                    \
        return r;                                                                                           \
    }
COMPARISON(<) COMPARISON(>) COMPARISON(<=) COMPARISON(>=) COMPARISON(==) COMPARISON(!=)
#undef COMPARISON

#define PREFIX(op)                                                                                          \
    template <class T, int N> inline vec<T, N> operator op(vec<T, N> a) {                                   \
        for (int i = 0; i < N; i++) a[i] = op a[i];                                                         \
        return a;                                                                                           \
    }
PREFIX(-) PREFIX(~) PREFIX(!)
#undef PREFIX

template <int N> inline bool any(vec<bool, N> v) {
    bool r = false;
    for (int i = 0; i < N; i++) r |= v[i];
    return r;
}
template <int N> inline bool all(vec<bool, N> v) { return !any(!v); }

// The built-in functions of scalars. Float functions are builtins of clang, so that fast math applies to them.
#define FLOATS(T, suffix)                                                                                   \
    inline T floor(T a) { return __builtin_floor##suffix(a); }                                              \
    inline T ceil(T a) { return __builtin_ceil##suffix(a); }                                                \
    inline T trunc(T a) { return __builtin_trunc##suffix(a); }                                              \
    inline T rint(T a) { return __builtin_rint##suffix(a); }                                                \
    inline T round(T a) { return __builtin_rint##suffix(a); } /* ties to even, as in HLSL */                \
    inline T abs(T a) { return __builtin_fabs##suffix(a); }                                                 \
    inline T min(T a, T b) { return __builtin_fmin##suffix(a, b); }                                         \
    inline T max(T a, T b) { return __builtin_fmax##suffix(a, b); }
FLOATS(float, f) FLOATS(double, )
#undef FLOATS

// WGSL allows an fma to round twice. With LOOSE it is a product and a sum, which the compiler may regroup with others.
#ifdef LOOSE
inline float fma(float a, float b, float c) { return a * b + c; }
inline double fma(double a, double b, double c) { return a * b + c; }
#else
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#endif

#define INTEGERS(T)                                                                                         \
    inline T min(T a, T b) { return a < b ? a : b; }                                                        \
    inline T max(T a, T b) { return a > b ? a : b; }
INTEGERS(uint32_t) INTEGERS(int32_t) INTEGERS(uint64_t) INTEGERS(int64_t)
#undef INTEGERS

// The number of zeros before the leading 1, and the position of that 1; 0 has none.
inline uint clz(uint a) { return a == 0 ? 32 : uint(__builtin_clz(a)); }
inline uint firstbithigh(uint a) { return 31 - clz(a); }

template <class T> inline T clamp(T a, T low, T high) { return min(max(a, low), high); }

// Applies the same functions component by component.
#define UNARY(f)                                                                                            \
    template <class T, int N> inline vec<T, N> f(vec<T, N> a) {                                             \
        for (int i = 0; i < N; i++) a[i] = f(a[i]);                                                         \
        return a;                                                                                           \
    }
UNARY(floor) UNARY(ceil) UNARY(trunc) UNARY(rint) UNARY(round) UNARY(abs) UNARY(clz) UNARY(firstbithigh)
#undef UNARY
#define BINARY(f)                                                                                           \
    template <class T, int N> inline vec<T, N> f(vec<T, N> a, vec<T, N> b) {                                \
        for (int i = 0; i < N; i++) a[i] = f(a[i], b[i]);                                                   \
        return a;                                                                                           \
    }
BINARY(min) BINARY(max)
#undef BINARY
template <class T, int N> inline vec<T, N> fma(vec<T, N> a, vec<T, N> b, vec<T, N> c) {
    for (int i = 0; i < N; i++) a[i] = fma(a[i], b[i], c[i]);
    return a;
}

// Returns `b` where `condition` is true, else `a`. The order of the arguments is that of WGSL and Metal.
template <class T> inline T select(T a, T b, bool condition) { return condition ? b : a; }
template <class T, int N> inline vec<T, N> select(vec<T, N> a, vec<T, N> b, vec<bool, N> condition) {
    for (int i = 0; i < N; i++) a[i] = condition[i] ? b[i] : a[i];
    return a;
}

// Returns the same bits as another type.
template <class T, class U> inline T same_bits(U u) {
    static_assert(sizeof(T) == sizeof(U));
    return __builtin_bit_cast(T, u);
}

#define NAMES(T, name)                                                                                      \
    typedef vec<T, 2> name##2;                                                                              \
    typedef vec<T, 3> name##3;                                                                              \
    typedef vec<T, 4> name##4;
NAMES(float, float) NAMES(int, int) NAMES(uint, uint) NAMES(bool, bool)

} // namespace shading
