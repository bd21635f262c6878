//! Measures ELU next to burn's own `elu` on the same tensors in the same run, and prints a Markdown table.
//!
//! `cargo bench` in `integrations`. `--no-default-features` measures burn without fusion.

use std::{hint::black_box, time::Instant};

use burn::tensor::{Device, Distribution, Tensor, activation};

/// The number of operations that follow each other without a wait.
const CHAIN: u32 = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    wgpu_elu_burn::init(&device, &setup)?;
    let fusion = if cfg!(feature = "fusion") {
        "with"
    } else {
        "without"
    };
    println!(
        "{}, float32, alpha 1, burn {fusion} fusion\n",
        setup.adapter.get_info().name
    );
    println!("Microseconds, and this package's share of burn's time:\n");
    println!(
        "| elements | forward, then wait: burn | this | ratio | one of {CHAIN} forwards: burn | this | ratio | forward and backward: burn | this | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for power in [12, 14, 16, 18, 20, 22, 24] {
        let x = Tensor::<1>::random([1 << power], Distribution::Normal(0.0, 1.0), &device);
        let tracked = Tensor::from_inner(x.clone()).require_grad();
        let rounds = if power < 20 { 201 } else { 21 };
        let one = compare(&device, rounds, |elu| elu(x.clone()));
        let chain = compare(&device, rounds / 8, |elu| {
            (1..CHAIN).fold(elu(x.clone()), |y, _| elu(y))
        });
        let chain = chain.map(|seconds| seconds / f64::from(CHAIN));
        let both = compare(&device, rounds / 2, |elu| {
            let grads = elu(tracked.clone()).sum().backward();
            tracked.grad(&grads)
        });
        print!("| 2^{power} |");
        for [burn, ours] in [one, chain, both] {
            print!(
                " {:.0} | {:.0} | {:.2} |",
                burn * 1e6,
                ours * 1e6,
                ours / burn
            );
        }
        println!();
    }
    Ok(())
}

/// An implementation of ELU.
type Elu = fn(Tensor<1>) -> Tensor<1>;

/// Measures `work` with burn's ELU and with this one in turn, and returns the median seconds of each.
fn compare<T>(device: &Device, rounds: usize, work: impl Fn(Elu) -> T) -> [f64; 2] {
    let burns: Elu = |x| activation::elu(x, 1.0);
    let ours: Elu = |x| wgpu_elu_burn::elu(x, 1.0).expect("the device is registered");
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..rounds + 3 {
        for (elu, samples) in [burns, ours].into_iter().zip(&mut samples) {
            device.sync().expect("the device works");
            let start = Instant::now();
            let result = black_box(work(elu));
            device.sync().expect("the device works");
            if round >= 3 {
                samples.push(start.elapsed().as_secs_f64()); // the first rounds compile
            }
            drop(result);
        }
    }
    samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    })
}
