//! Sets `cfg(unoptimized)` if the compiler does not optimize. Without optimization, every function that is inlined
//! anyway adds its variables to the stack of its caller.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(unoptimized)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo::rustc-cfg=unoptimized");
    }
}
