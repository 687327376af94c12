//! Lets the programs find libtorch without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // espalier-training's build script says where libtorch lies.
    if let Ok(lib) = std::env::var("DEP_ESPALIER_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    if let Ok(keep) = std::env::var("DEP_ESPALIER_LIBTORCH_CUDA") {
        println!("cargo:rustc-link-arg={keep}");
    }
}
