//! Tests that results of `Rounding::Nearest` have the same bits on the CPU path and every adapter.

use wgpu_elu::{
    DType, Device, Elu, Factors, Op, Rounding,
    accuracy::{Extent, Judge, Sample, digest},
};

use crate::everywhere::{TestDevice, compute, everywhere, on_every_device, on_every_gpu, supports};

fn nearest(factors: impl Into<Factors>) -> Elu {
    Elu::from(factors.into()).with_rounding(Rounding::Nearest)
}

/// Returns sets of factors of all kinds: usual ones, those that are 0, infinite or NaN, and those at the ends of the
/// range.
fn all_factors() -> Vec<Factors> {
    let alphas = [
        1.0,
        1.5,
        0.3,
        -0.7,
        1e-40,
        1e38,
        0.0,
        f64::INFINITY,
        f64::NAN,
    ];
    let mut all: Vec<Factors> = alphas.map(Factors::elu).into();
    all.push(Factors::SELU);
    all.extend([2.0, 0.7, 1e18, 1e-18].map(|alpha| Factors::celu(alpha).unwrap()));
    all.push(Factors::new(1.3, 1.1, 0.9).unwrap());
    all
}

/// The columns of the table in docs/accuracy.md: dtype, operation, factors, step and digest. The first row of the table
/// is not among them, because it takes minutes.
fn digests() -> Vec<(DType, Op, Factors, u64, &'static str)> {
    use {DType::*, Op::*};
    let (elu, selu) = (Factors::elu(1.0), Factors::SELU);
    let celu = Factors::celu(2.0).unwrap();
    vec![
        (
            F32,
            Forward,
            elu,
            97,
            "e9633e0b5232afb13c3f04d76201c1192049c2afb0c5bc9ef218df3b59fb19c6",
        ),
        (
            F32,
            Forward,
            selu,
            9797,
            "ca17d075d610ddc942812bf580b1d622b1ebfbcd308a708cd451fb75d89909b1",
        ),
        (
            F32,
            Forward,
            celu,
            9797,
            "dc82dab4dd4112bdcbac7ad88dc3811c108c124ae95d872a222c8c76916fea2b",
        ),
        (
            F32,
            Backward,
            elu,
            9797,
            "85d2996e3740789324002e715f3b15c73004da786c3a27d9664279c7ad0f0c5c",
        ),
        (
            F32,
            Backward,
            selu,
            9797,
            "fba5c8160a85453f6ba3ae3b82b5b968de3fdab8dbe283429027c371e566dc83",
        ),
        (
            F32,
            Backward,
            celu,
            9797,
            "b764323fc38d4d20a2aef1f73bc426ae960f19cc27b4cd9f5188ff0021ceca9d",
        ),
        (
            F32,
            BackwardFromOutput,
            elu,
            9797,
            "fd993e030552a6afbac9126269e4891e844c71c1cb17508af863e05239cc5342",
        ),
        (
            F32,
            BackwardFromOutput,
            selu,
            9797,
            "91655d456241acac0c86ff194fc87556a20f2cb4b453ae4e3781ce67e4b9d12d",
        ),
        (
            F32,
            BackwardFromOutput,
            celu,
            9797,
            "7a447d2330a3683bbd7c8187367e8524b9d38cee485d77c29cd19a2a1ec24a5e",
        ),
        (
            F16,
            Forward,
            elu,
            1,
            "9534e0c40d501b3d6d41b02287ad7a8b46f1365c10b64ec3d9b90a76c2240ba5",
        ),
        (
            F16,
            Forward,
            selu,
            1,
            "d1894aa18f3eef3e9832d93a1bd2b0561c38ed3d14caa58dba6bb9fac648163e",
        ),
        (
            F16,
            Forward,
            celu,
            1,
            "d329bb117af6a06e0363c50ab17380f7c6b704d087edbb56ce52cea9427da60d",
        ),
        (
            F16,
            Backward,
            elu,
            1,
            "40c878eab4028a52a3c57ac2e5d1ce315e72249c48ce6f104f67a84dbcb4fae8",
        ),
        (
            F16,
            Backward,
            selu,
            1,
            "d89bf46de4f73dbf7d4ce28ebada2608d5f0289d7e50c6beb0056789dc09b463",
        ),
        (
            F16,
            Backward,
            celu,
            1,
            "2d8db7587e677821def80cf774c3733497ed0357e97066837bd8f6da1cd5b648",
        ),
        (
            F16,
            BackwardFromOutput,
            elu,
            1,
            "4fa6736bc49a6223f117cbdcc7f03d0a685359ed5aa830476dca90f16cc87f18",
        ),
        (
            F16,
            BackwardFromOutput,
            selu,
            1,
            "1e9ede2e78b0be6640a2b723904c9d5102d9745f3e7540972c1e4e43591cb9eb",
        ),
        (
            F16,
            BackwardFromOutput,
            celu,
            1,
            "6236d1cc13620ddb16fb313bc4efd417f7b85e230a40200c575f8965742b8140",
        ),
        (
            BF16,
            Forward,
            elu,
            1,
            "131df3ce60a8500ea6c8f6e821a2fde24207e241ca356ff479d3883a0709bd0e",
        ),
        (
            BF16,
            Forward,
            selu,
            1,
            "e84ac98fd818f76cbbceac05951b5dac26c8ca900aa0d233fbb1193cce66ab76",
        ),
        (
            BF16,
            Forward,
            celu,
            1,
            "83fc7c311188d1ea413f41118efe982a42135a922ada21e3cae1a69fb803d70e",
        ),
        (
            BF16,
            Backward,
            elu,
            1,
            "13cbc459c97b338a52af46965160da862a24f1ad069bd1cb11b7018530d9bd86",
        ),
        (
            BF16,
            Backward,
            selu,
            1,
            "bbee98844544b0695f2cc611ad465a6df7f460eef86cbae7020514c47abc356e",
        ),
        (
            BF16,
            Backward,
            celu,
            1,
            "3ea9242ac5a89938a83ef36e4bd72eeca3ca6e1c3b9a51f4b70ab6df6bb9e2f1",
        ),
        (
            BF16,
            BackwardFromOutput,
            elu,
            1,
            "59fa10f6b42dabaa8ccfd51788a3d2cdfed928130720cb0fb921db765f404b43",
        ),
        (
            BF16,
            BackwardFromOutput,
            selu,
            1,
            "0d86a446714a3cbade6cd5e5e0b8e7add8279d3f0b4aa41da958b6f838a7cea6",
        ),
        (
            BF16,
            BackwardFromOutput,
            celu,
            1,
            "45f4db7a94da48a764572e076b6b3c62029da8227bccca2a79c2a91ae38e7673",
        ),
        (
            F64,
            Forward,
            elu,
            9797,
            "ce0a081e52c5508e39b3f4329d4469f89eb5d75328c205e39a3c1124db0beb9d",
        ),
        (
            F64,
            Forward,
            selu,
            9797,
            "44fb595be1c950ee29453b1603f55901ee67c4261cdc61dacf6cabc64e2a4b03",
        ),
        (
            F64,
            Forward,
            celu,
            9797,
            "3d971ae783c00bef35a47219e050e674fddb566c3dca5abbe90355d26e62edde",
        ),
        (
            F64,
            Backward,
            elu,
            9797,
            "f501c0a44b21f171c7363bcbe046bada97f2f5f7f4a38e9ebccdd1b79dda9562",
        ),
        (
            F64,
            Backward,
            selu,
            9797,
            "60a42b9f29664a16d4d151bcb0b890edb74c820b35baec773c89b84daf63e8cc",
        ),
        (
            F64,
            Backward,
            celu,
            9797,
            "635b96831dccac939874f0dc27a7a6cc1d004da0758b703a2e997db6b8f1e721",
        ),
        (
            F64,
            BackwardFromOutput,
            elu,
            9797,
            "149edf4569e1ee2bf880e2168ec0f7cd572b94eee8dd77939c331d031fbc1e41",
        ),
        (
            F64,
            BackwardFromOutput,
            selu,
            9797,
            "3195a5b389f5038c534dfb74197c7df2b5b36f6b93cc469cd31346452c91d144",
        ),
        (
            F64,
            BackwardFromOutput,
            celu,
            9797,
            "ac785c2d510d3ab0a27f9fe998baf6b5f0d6e403776cf8f89f1a98bef2988512",
        ),
    ]
}

// The CPU path is tested by the judge. Every adapter must have its bits. These are three tests, so that they run side
// by side: SwiftShader takes 15 times as long as the other adapters, because it compiles slowly.

#[everywhere]
async fn float32_has_the_bits_of_the_cpu_path_on_every_adapter() {
    compare_with_the_cpu_path(DType::F32).await;
}

#[everywhere]
async fn float16_has_the_bits_of_the_cpu_path_on_every_adapter() {
    compare_with_the_cpu_path(DType::F16).await;
}

#[everywhere]
async fn bfloat16_has_the_bits_of_the_cpu_path_on_every_adapter() {
    compare_with_the_cpu_path(DType::BF16).await;
}

async fn compare_with_the_cpu_path(dtype: DType) {
    on_every_gpu(async |gpu, name| {
        let device = &Device::Gpu(gpu.clone());
        for op in Op::ALL {
            for factors in all_factors() {
                let is_invertible = factors.alpha() > 0.0 && factors.alpha().is_finite();
                if op == Op::BackwardFromOutput && !is_invertible {
                    continue;
                }
                let judge = Judge {
                    op,
                    dtype,
                    elu: nearest(factors),
                };
                let sample = Sample::new(judge, Extent::Few);
                let (x, grad): (Vec<u64>, Vec<u64>) =
                    (0..sample.len()).map(|i| sample.pair(i)).unzip();
                let of = async |device, name| {
                    compute(TestDevice { device, name }, judge, &x, &grad).await
                };
                let needed = of(&Device::Cpu, "the CPU").await;
                let found = of(device, name).await;
                for i in 0..x.len() {
                    let numbers = [x[i], grad[i], needed[i], found[i]];
                    assert_eq!(needed[i], found[i], "{name}: {judge:?}: {numbers:x?}");
                }
            }
        }
    })
    .await;
}

/// The digests that docs/accuracy.md documents, of every `step`th number.
#[everywhere]
async fn every_device_has_the_documented_digests() {
    on_every_device(async |target| {
        for (dtype, op, factors, step, needed) in digests() {
            if !supports(target.device, dtype) {
                continue;
            }
            if dtype == DType::F64 && *target.device != Device::Cpu {
                continue;
            }
            let elu = nearest(factors);
            let judge = Judge { op, dtype, elu };
            let found = digest(target.device, judge, step, |_, _| {}).await.unwrap();
            assert_eq!(found, needed, "{}: {judge:?}", target.name);
        }
    })
    .await;
}

#[cfg(test)]
#[test]
fn the_documentation_contains_the_digests() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/accuracy.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = digests()
        .into_iter()
        .map(|(dtype, op, factors, step, digest)| {
            let function = if factors == Factors::SELU {
                "SELU"
            } else if factors == Factors::elu(1.0) {
                "ELU, alpha 1"
            } else {
                "CELU, alpha 2"
            };
            format!("| {dtype} | {op} | {function} | {step} | `{digest}` |")
        });
    let documented = text
        .lines()
        .filter(|line| line.ends_with("` |") && line.len() > 90)
        .skip(1);
    let (documented, rows): (Vec<&str>, Vec<String>) = (documented.collect(), rows.collect());
    for (documented, row) in documented.iter().zip(&rows) {
        assert_eq!(documented, row);
    }
    assert_eq!(documented.len(), rows.len());
}
