//! The build script of every crate whose programs or tests link libtorch: lets them find it without `LD_LIBRARY_PATH`.

fn main() {
    // Without a file or variable to watch, cargo would watch every file of the crate.
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // The build script of espalier-torch says where libtorch lies.
    if let Ok(lib) = std::env::var("DEP_ESPALIER_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    if let Ok(keep) = std::env::var("DEP_ESPALIER_LIBTORCH_CUDA") {
        println!("cargo:rustc-link-arg={keep}");
    }
}
