//! Builds the eBPF object, or takes a prebuilt one of the same sources, and leaves it for the crate to embed.
//!
//! Two toolchains do: a nightly one with rust-src, or Debian's rustc-web with rust-web-src; ci/setup installs what is
//! missing. Both compile the same source, both need bpf-linker.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

/// Marks the environment variable that names a prebuilt object.
const PREBUILT: &str = "TERWAY_EBPF_OBJECT";

/// Files of terway-policy that the program is made of; all others are its library's alone.
const PROGRAM: [&str; 9] = [
    "layout.rs",
    "maps.rs",
    "packet.rs",
    "verdict.rs",
    "verdict/error.rs",
    "verdict/flow.rs",
    "verdict/fragment.rs",
    "verdict/quick.rs",
    "verdict/rules.rs",
];

const LINKER: &str = "RUSTC_BOOTSTRAP=1 LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --locked \
    --no-default-features --features llvm-22 --root";

fn main() {
    println!("cargo:rerun-if-env-changed={PREBUILT}");
    println!("cargo:rerun-if-env-changed=TERWAY_CACHE");
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let (program, policy) = (here.join("../ebpf"), here.join("../policy"));
    let sources = sources(&program, &policy);
    let hash = hash(&sources, here.parent().expect("the crate is below dataplane"));
    println!("cargo:rustc-env=TERWAY_EBPF_SOURCE={hash}");

    let object = match env::var_os(PREBUILT) {
        Some(path) => prebuilt(Path::new(&path), &hash),
        None => build(&program, &sources, &hash),
    };
    let target = PathBuf::from(variable("OUT_DIR")).join("terway-ebpf.o");
    fs::copy(&object, &target)
        .unwrap_or_else(|error| panic!("copy {} to {}: {error}", object.display(), target.display()));
}

/// Everything that the object depends on, in a fixed order; each is watched.
fn sources(program: &Path, policy: &Path) -> Vec<PathBuf> {
    let mut files = vec![program.join("Cargo.toml"), program.join("Cargo.lock"), policy.join("Cargo.toml")];
    let read = fs::read_dir(program.join("src")).expect("the program's sources are here");
    files.extend(read.map(|entry| entry.expect("its folder can be read").path()));
    files[3..].sort();
    files.extend(PROGRAM.map(|name| policy.join("src").join(name)));
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    println!("cargo:rerun-if-changed={}", program.join("src").display());
    files
}

/// SHA-256 over names and contents. terway-policy's lib.rs is left out: it lists modules of the library as well, and
/// the compiler's own list of inputs is compared with ours below.
fn hash(sources: &[PathBuf], base: &Path) -> String {
    let mut hash = Sha256::new();
    for file in sources {
        let text = fs::read(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
        let name = file.strip_prefix(base).unwrap_or(file).to_string_lossy().into_owned();
        hash.update(name.trim_start_matches("loader/../").as_bytes());
        hash.update([0]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("a string takes what is written");
    }
    text
}

fn prebuilt(path: &Path, hash: &str) -> PathBuf {
    println!("cargo:rerun-if-changed={}", path.display());
    println!("cargo:rustc-env=TERWAY_EBPF_TOOLCHAIN=prebuilt");
    let object =
        fs::read(path).unwrap_or_else(|error| panic!("{PREBUILT}: read {}: {error}", path.display()));
    assert!(
        object.windows(hash.len()).any(|window| window == hash.as_bytes()),
        "{PREBUILT}: {} was not built from these sources ({hash}); build it from the same commit, or unset {PREBUILT}",
        path.display(),
    );
    path.to_owned()
}

/// How to compile for the kernel.
struct Toolchain {
    what: &'static str,
    rustc: PathBuf,
}

fn toolchain() -> Toolchain {
    let nightly = Command::new("rustup").args(["which", "rustc", "--toolchain", "nightly"]).output();
    if let Ok(output) = nightly
        && output.status.success()
    {
        let rustc = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if has_source(&rustc) {
            return Toolchain { what: "nightly with rust-src", rustc };
        }
    }
    let rustc = PathBuf::from("/usr/bin/rustc");
    if has_source(&rustc) {
        return Toolchain { what: "Debian's rustc-web with rust-web-src", rustc };
    }
    panic!(
        "no compiler for eBPF is here. Run ci/setup, or one of these, or name an object of the same commit by {PREBUILT}:\n  \
         rustup toolchain install nightly --component rust-src\n  \
         apt-get install -y rustc-web rust-web-src llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev"
    );
}

/// Whether a compiler is there and has the sources of `core` beside it.
fn has_source(rustc: &Path) -> bool {
    let Ok(output) = Command::new(rustc).args(["--print", "sysroot"]).env_remove("RUSTUP_TOOLCHAIN").output()
    else {
        return false;
    };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    output.status.success() && sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
}

fn linker() -> PathBuf {
    let cache = env::var_os("TERWAY_CACHE").map(PathBuf::from).or_else(|| {
        let home = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        home.map(|home| home.join("terway-rs"))
    });
    if let Some(linker) = cache.as_ref().map(|cache| cache.join("bpf-linker/bin/bpf-linker"))
        && linker.exists()
    {
        return linker;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("bpf-linker"))
        .find(|linker| linker.exists())
        .unwrap_or_else(|| {
            let root = cache.unwrap_or_default().join("bpf-linker");
            panic!("no bpf-linker is here. Run ci/setup, or: {LINKER} {}", root.display())
        })
}

fn build(program: &Path, sources: &[PathBuf], hash: &str) -> PathBuf {
    let Toolchain { what, rustc } = toolchain();
    // <target>/<profile>/build/<crate>/out: one folder for all profiles, where cargo finds what it has built.
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = out.ancestors().nth(4).unwrap_or(&out).join("ebpf");
    let flags = [
        &format!("-Clinker={}", linker().display()),
        "-Clink-arg=--btf",
        "-Cdebuginfo=2",
        // Instructions of Linux 5.1.
        "-Ctarget-cpu=v3",
    ];
    let mut cargo = Command::new(variable("CARGO"));
    // What cargo tells a build script would be taken for settings by the one that it starts.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if (text.starts_with("CARGO") && text != "CARGO_HOME") || text.starts_with("RUST") {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(program)
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            "bpfel-unknown-none",
            "-Zbuild-std=core",
            "--quiet",
        ])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTC", &rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("TERWAY_EBPF_SOURCE", hash);
    let output = cargo.output().unwrap_or_else(|error| panic!("start {cargo:?}: {error}"));
    assert!(
        output.status.success(),
        "the eBPF object was not built ({what}):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("cargo:rustc-env=TERWAY_EBPF_TOOLCHAIN={what}");
    let folder = target.join("bpfel-unknown-none/release");
    all_known(&folder.join("terway-ebpf.d"), sources);
    folder.join("terway-ebpf")
}

/// What the compiler read is what was hashed; else an object could pass for one of other sources.
fn all_known(list: &Path, sources: &[PathBuf]) {
    let text = fs::read_to_string(list).unwrap_or_else(|error| panic!("read {}: {error}", list.display()));
    let known: Vec<PathBuf> = sources.iter().filter_map(|file| file.canonicalize().ok()).collect();
    let inputs = text.split_once(": ").map_or("", |(_, inputs)| inputs);
    for input in inputs
        .split_whitespace()
        .filter(|input| Path::new(input).extension().is_some_and(|kind| kind == "rs"))
    {
        let path = Path::new(input);
        let is_known = path.canonicalize().is_ok_and(|path| known.contains(&path));
        assert!(
            is_known || path.ends_with("policy/src/lib.rs"),
            "{input} is part of the eBPF object, but not in PROGRAM in {}",
            file!(),
        );
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
