// Prints the largest float32 errors of the shaders' exp, expm1 and ELU with alpha = 1, over every float32 and for
// several orders of operations that a compiler may choose; and that of the CPU path's expm1. docs/numerics.md quotes them.
//
// 1. `reduce`, `exp_of` and `expm1_of` do the same operations as the functions with the same names in
//    shaders/exponential.wgsl, for t.low = 0. `p` is any_order_p in shaders/format/float32.wgsl, and `unit_forward` is
//    expm1_or_same in shaders/unit_forward.wgsl.
// 2. expm1 is evaluated for every float for which its result is used, between -19 and -2^-30, and ELU between -18 and
//    -2^-25. exp is evaluated between -330 and -2^-30; closer to 0, its pair 1 + t has no error that matters.
// 3. The result is compared with a float64 result: the pairs by their relative error in units of u = 2^-24, which is
//    half of the spacing at 1, and ELU in ULP.
//
// It runs for about a minute.
//
// usage: c++ -O2 -march=native -ffp-contract=off scripts/pair-errors.cpp -o /tmp/pair-errors && /tmp/pair-errors

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

static uint32_t bits(float v) { uint32_t b; memcpy(&b, &v, 4); return b; }
static float of_bits(uint32_t b) { float v; memcpy(&v, &b, 4); return v; }
// Keeps the sign, the exponent and the leading 12 bits of the significand.
static float leading_bits(float v) { return of_bits(bits(v) & 0xfffff000u); }

struct Pair { float high, low; };
struct Reduced { uint32_t rounder; float r, rest; }; // `rounder`: the bits of the float `Compiler::rounder` + n

// The choices of a compiler. `has_fma`: whether an fma rounds once. `order`: how r^3 p(r) is multiplied, as (r r^2) p
// for 0, r (r^2 p) for 1, or (r p) r^2 for 2. In `unit_forward`, r^2 q(r) is (r r) q for 0, else r (r q).
template <bool has_fma, int order> struct Compiler {
    // `rounder` is 1.5 * 2^23 + 127. Adding it to a float rounds the float to an integer n. The sum's last bits are the
    // biased exponent of 2^n, so shifting them left by 23 gives the bits of 2^n.
    static constexpr float log2_e = 1.44269502f, ln2_high = 0.693145752f, ln2_low = 1.42860677e-6f, rounder = 12583039.0f;

    static float fma(float a, float b, float c) { return has_fma ? std::fma(a, b, c) : a * b + c; }

    static float p(float r) {
        float v = fma(0.000150461448f, r, 0.00139305403f);
        v = fma(v, r, 0.00834150985f);
        v = fma(v, r, 0.0416665114f);
        return fma(v, r, 0.166666359f);
    }

    // Range reduction and polynomial: t = n ln 2 + r + r_low, and expm1(r + r_low) = r + rest. `smallest` is the
    // smallest allowed n, as the bits of the float `rounder` + n; 0 allows every n.
    static Reduced reduce(float t, uint32_t smallest) {
        uint32_t nearest = std::max(bits(fma(t, log2_e, rounder)), smallest);
        float n = of_bits(nearest) - rounder;
        float r = fma(n, -ln2_high, t), r_low = fma(n, -ln2_low, 0.0f), square = r * r;
        float cube = order == 0 ? r * square * p(r) : order == 1 ? r * (square * p(r)) : r * p(r) * square;
        float exp_of_r = 1.0f + (r + fma(square, 0.5f, cube));
        float growth = r_low * fma(r_low, 0.5f, 1.0f);
        return {nearest, r, fma(square, 0.5f, fma(exp_of_r, growth, cube))};
    }

    // Returns exp(t) / 2^exponent.
    static Pair exp_of(float t, int& exponent) {
        Reduced reduced = reduce(t, 0);
        float high = leading_bits(1.0f + reduced.r);
        exponent = int(reduced.rounder - bits(rounder));
        return {high, reduced.r - (high - 1.0f) + reduced.rest};
    }

    static Pair expm1_of(float t) {
        Reduced reduced = reduce(t, bits(rounder) - 24);
        float power = of_bits(reduced.rounder << 23), power_minus_1 = power - 1.0f;
        float high = leading_bits(fma(power, reduced.r + reduced.rest, power_minus_1));
        return {high, fma(power, reduced.rest, fma(power, reduced.r, power_minus_1 - high))};
    }

    static float unit_forward(float x) {
        float nearest = fma(x, log2_e, rounder), r = fma(nearest - rounder, -0.693147182f, x);
        float q = fma(p(r), r, 0.5f), rest = order == 0 ? r * r * q : r * (r * q);
        float power = of_bits(bits(nearest) << 23);
        return fma(power, r + rest, power - 1.0f);
    }

    static void run() {
        double expm1_error = 0, exp_error = 0, unit_error = 0;
        for (uint32_t b = bits(-0x1p-30f); b <= bits(-330.0f); b++) {
            float t = of_bits(b);
            int exponent;
            Pair pair = exp_of(t, exponent);
            // exp(t) / 2^exponent, with ln 2 in two parts.
            double exact = std::exp(t - exponent * 0x1.62e42fefa39efp-1 - exponent * 0x1.abc9e3b39803fp-56);
            exp_error = std::max(exp_error, std::fabs((double(pair.high) + pair.low) / exact - 1.0));
            if (t < -19.0f) continue;
            exact = std::expm1(double(t));
            pair = expm1_of(t);
            expm1_error = std::max(expm1_error, std::fabs((double(pair.high) + pair.low) / exact - 1.0));
            if (t < -18.0f || t >= -0x1p-25f) continue;
            unit_error = std::max(unit_error, std::fabs(unit_forward(t) - exact) * 0x1p23 / std::exp2(std::ilogb(exact)));
        }
        printf("%s, order %d: expm1 pair %.3f, exp pair %.3f, alpha 1 %.3f ULP\n", has_fma ? "with fma" : "without fma", order,
               expm1_error * 0x1p24, exp_error * 0x1p24, unit_error);
    }
};

// The pair of expm1 of src/cpu/arithmetic/exponential.rs (`expm1_of_float`), for CPUs with FMA.
static Pair expm1_of_float(float t) {
    const float rounder = 12583039.0f, ln_2 = 0.693147182f;
    float nearest = std::fma(t, 1.44269502f, rounder);
    float power = of_bits(bits(nearest) << 23), r = std::fma(nearest - rounder, -ln_2, t), square = r * r;
    float q01 = std::fma(r, 0.166666359f, 0.5f), q23 = std::fma(r, 0.00834150985f, 0.0416665114f);
    float q45 = std::fma(r, 0.000150461448f, 0.00139305403f);
    float rest = square * std::fma(square, std::fma(square, q45, q23), q01);
    float power_minus_1 = power - 1.0f, high = std::fma(power, r + rest, power_minus_1);
    return {high, std::fma(power, rest, std::fma(power, r, power_minus_1 - high))};
}

int main() {
    Compiler<true, 0>::run();
    Compiler<false, 0>::run();
    Compiler<true, 1>::run();
    Compiler<false, 1>::run();
    Compiler<true, 2>::run();
    Compiler<false, 2>::run();
    // The product with a factor rounds factor * low, which adds up to u * low. Below -16.98, where n is -25, the result
    // is -1.
    double error = 0;
    for (uint32_t b = bits(-0x1p-30f); b <= bits(-16.98f); b++) {
        Pair pair = expm1_of_float(of_bits(b));
        double exact = std::expm1(double(of_bits(b)));
        double of_pair = std::fabs((double(pair.high) + pair.low) / exact - 1.0), of_product = std::fabs(pair.low / exact) * 0x1p-24;
        error = std::max(error, of_pair + of_product);
    }
    printf("CPU with FMA: expm1 pair, and its product's low part %.3f\n", error * 0x1p24);
}
