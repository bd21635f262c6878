//! Measures ELU next to burn's own `elu` on the same tensors in the same run, and prints a Markdown table.
//!
//! `cargo bench` in this package. `--no-default-features` measures burn without fusion.

use std::{hint::black_box, time::Instant};

use burn::tensor::{Device, Distribution, Tensor, activation};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    wgpu_elu_burn::init(&device, &setup)?;
    let with = if cfg!(feature = "fusion") {
        "with"
    } else {
        "without"
    };
    let adapter = setup.adapter.get_info().name;
    println!("{adapter}, float32, alpha 1, burn {with} fusion; medians in microseconds\n");
    println!(
        "| elements | forward: burn | this package | ratio | forward and backward: burn | this package | ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    for power in [12, 14, 16, 18, 20, 22, 24] {
        let x = Tensor::<1>::random([1 << power], Distribution::Normal(0.0, 1.0), &device);
        let difference = activation::elu(x.clone(), 1.0) - wgpu_elu_burn::elu(x.clone(), 1.0)?;
        let largest = difference.abs().max().into_scalar::<f32>();
        assert!(largest < 1e-6, "the results differ by {largest}");
        let weights = Tensor::from_inner(x.clone() + 1.0);
        let tracked = Tensor::from_inner(x.clone()).require_grad();
        let rounds = if power < 20 { 301 } else { 31 };
        let forward = compare(&device, rounds, |elu| elu(x.clone()));
        let both = compare(&device, rounds, |elu| {
            let grads = (elu(tracked.clone()) * weights.clone()).sum().backward();
            tracked.grad(&grads)
        });
        print!("| 2^{power} |");
        for [burn, ours] in [forward, both] {
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

/// Measures `work`, and the wait for its end, with burn's ELU and with this one in turn. Returns the median seconds of
/// each.
fn compare<T>(device: &Device, rounds: usize, work: impl Fn(Elu) -> T) -> [f64; 2] {
    let burns: Elu = |x| activation::elu(x, 1.0);
    let ours: Elu = |x| wgpu_elu_burn::elu(x, 1.0).expect("the device is registered");
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..rounds + 5 {
        let mut turn: Vec<_> = [burns, ours].into_iter().zip(&mut samples).collect();
        turn.rotate_left(round % 2);
        for (elu, samples) in turn {
            device.sync().expect("the device works");
            let start = Instant::now();
            let result = black_box(work(elu));
            device.sync().expect("the device works");
            if round >= 5 {
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
