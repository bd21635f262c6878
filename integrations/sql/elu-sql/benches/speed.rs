//! The speed of the functions: of a call on an array next to the CPU path on the same slice, and of queries over
//! memory.
//!
//! `cargo bench --manifest-path integrations/sql/Cargo.toml -p elu-sql`; `... -- --threads 2` for two partitions.

use std::{hint::black_box, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Float32Array, RecordBatch},
        datatypes::{DataType, Field, Float32Type, Schema},
    },
    common::config::ConfigOptions,
    datasource::MemTable,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF},
    physical_plan::ExecutionPlanProperties,
    prelude::{SessionConfig, SessionContext},
};
use futures::StreamExt;
use wgpu_elu_datafusion::wgpu_elu::cpu;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().collect();
    let threads = match args.iter().position(|arg| arg == "--threads") {
        Some(at) => args.get(at + 1).context("--threads N")?.parse()?,
        None => 1,
    };
    println!("{}", cpu::simd_level());
    calls()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .build()?;
    for batch in [8192, 65536] {
        runtime.block_on(queries(batch, threads))?;
    }
    Ok(())
}

fn x(len: usize) -> Vec<f32> {
    let x =
        |i: usize| (u16::try_from(i * 40503 % 65536).map_or(0.0, f32::from) / 65536.0 - 0.5) * 12.0;
    (0..len).map(x).collect()
}

/// Returns the shortest time of one call of `work`, in nanoseconds per element.
fn time(len: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    let calls = (1 << 22) / len;
    for _ in 0..40 {
        let start = Instant::now();
        for _ in 0..calls {
            work()?;
        }
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least * 1e9 / (calls * len) as f64)
}

/// Times the function on one array.
fn calls() -> Result<()> {
    let functions = wgpu_elu_datafusion::functions();
    let elu: &ScalarUDF = functions
        .iter()
        .find(|udf| udf.name() == "elu")
        .context("elu")?;
    let field = Arc::new(Field::new("x", DataType::Float32, false));
    let options = Arc::new(ConfigOptions::new());
    let call = |x: ArrayRef| -> Result<ArrayRef> {
        let args = ScalarFunctionArgs {
            number_rows: x.len(),
            args: vec![ColumnarValue::Array(x)],
            arg_fields: vec![Arc::clone(&field)],
            return_field: Arc::clone(&field),
            config_options: Arc::clone(&options),
        };
        match elu.invoke_with_args(args)? {
            ColumnarValue::Array(y) => Ok(y),
            ColumnarValue::Scalar(_) => anyhow::bail!("needed an array"),
        }
    };
    println!("\nns per float32       slice  function   share    new slice  function   share");
    for len in [8192, 65536, 1 << 20] {
        let mut slice = x(len);
        let in_slice = time(len, || {
            cpu::forward_in_place(1.0, black_box(&mut slice[..]));
            Ok(())
        })?;
        let mut array: Option<ArrayRef> = Some(Arc::new(Float32Array::from(x(len))));
        let in_array = time(len, || {
            array = Some(call(black_box(array.take().context("an array")?))?);
            Ok(())
        })?;
        let source = x(len);
        let new_slice = time(len, || {
            let mut y = vec![0f32; len];
            cpu::forward(1.0, black_box(&source), &mut y)?;
            black_box(y);
            Ok(())
        })?;
        let source: ArrayRef = Arc::new(Float32Array::from(source));
        let new_array = time(len, || {
            black_box(call(black_box(Arc::clone(&source)))?);
            Ok(())
        })?;
        println!(
            "{len:>8} elements  {in_slice:8.3}  {in_array:8.3}  {:6.2}     {new_slice:8.3}  {new_array:8.3}  {:6.2}",
            in_slice / in_array,
            new_slice / new_array
        );
    }
    Ok(())
}

/// Times expressions in a query over a table in memory.
async fn queries(batch: usize, partitions: usize) -> Result<()> {
    const LEN: usize = 1 << 24;
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float32, false)]));
    let values = Float32Array::from(x(LEN));
    let mut parts = vec![vec![]; partitions];
    for (number, start) in (0..LEN).step_by(batch).enumerate() {
        let column = Float32Array::from(values.slice(start, batch).values().to_vec());
        let column = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)])?;
        parts[number % partitions].push(column);
    }
    let config = SessionConfig::new()
        .with_batch_size(batch)
        .with_target_partitions(partitions);
    let mut context = SessionContext::new_with_config(config);
    wgpu_elu_datafusion::register(&mut context)?;
    context.register_table("t", Arc::new(MemTable::try_new(schema, parts)?))?;

    println!(
        "\n2^24 float32 in batches of {batch}, {partitions} partition(s): ns per row, and the time of x * 1.5"
    );
    let forms = [
        "x",
        "x * CAST(1.5 AS FLOAT)",
        "elu(x)",
        "elu(x, 0.5)",
        "elu(x * CAST(1.5 AS FLOAT))",
        "elu_nearest(x)",
        "exp(x)",
        "CASE WHEN x >= 0 THEN x ELSE exp(x) - CAST(1 AS FLOAT) END",
    ];
    let mut plans = vec![];
    for form in forms {
        let frame = context.sql(&format!("SELECT {form} AS y FROM t")).await?;
        plans.push((form, frame.create_physical_plan().await?, f64::INFINITY));
    }
    // In turns, so that a slower minute of the machine meets all of them.
    for _ in 0..15 {
        for (_, plan, least) in &mut plans {
            let start = Instant::now();
            let mut streams = tokio::task::JoinSet::new();
            for partition in 0..plan.output_partitioning().partition_count() {
                let mut stream = plan.execute(partition, context.task_ctx())?;
                streams.spawn(async move {
                    let mut rows = 0;
                    while let Some(Ok(batch)) = stream.next().await {
                        rows += black_box(batch).num_rows();
                    }
                    rows
                });
            }
            ensure!(
                streams.join_all().await.iter().sum::<usize>() == LEN,
                "all rows"
            );
            *least = least.min(start.elapsed().as_secs_f64() * 1e9 / LEN as f64);
        }
    }
    let reference = plans[1].2;
    for (form, _, time) in plans {
        println!("{time:8.3}  {:6.2}  {form}", time / reference);
    }
    let worst = largest_error(&context).await?;
    println!("largest error of the CASE expression against elu, for -1 < x < 0: {worst} ULP");
    Ok(())
}

/// Returns the largest distance of the CASE expression from `elu` in ULP.
async fn largest_error(context: &SessionContext) -> Result<u32> {
    let sql =
        "SELECT arrow_cast(-1.0 / value, 'Float32') AS x FROM generate_series(2, 100000000, 997)";
    let sql = format!("SELECT elu(x), exp(x) - CAST(1 AS FLOAT) FROM ({sql})");
    let mut worst = 0;
    for batch in context.sql(&sql).await?.collect().await? {
        let [near, far] = [0, 1].map(|column| batch.column(column).as_primitive::<Float32Type>());
        for (near, far) in near.values().iter().zip(far.values()) {
            worst = worst.max(near.to_bits().abs_diff(far.to_bits()) & 0x7fff_ffff);
        }
    }
    Ok(worst)
}
