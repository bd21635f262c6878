fn sum_of_lanes(v: Floats, zero: u32) -> Sum {
    let first_half = add_sums(Sum(v.x, 0.0), Sum(v.y, 0.0), zero);
    return add_sums(first_half, add_sums(Sum(v.z, 0.0), Sum(v.w, 0.0), zero), zero);
}
