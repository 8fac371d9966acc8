//! What `packaging/install` makes: found by pkg-config and by CMake, linked shared and static, and gone without a trace.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::compile::{library_folder, root};

/// An installation below a folder of its own, with the libraries of this build.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        let installed = Self { folder: tempfile::tempdir().expect("a folder") };
        let said = installed.run_script(&[]);
        assert!(said.contains("liblmcache 0.") && said.contains("(ABI 1)"), "{said}");
        installed
    }

    /// Of a folder that is not the prefix, as for a packager.
    fn prefix(&self) -> PathBuf {
        self.folder.path().join("opt/lmcache")
    }

    fn run_script(&self, words: &[&str]) -> String {
        let mut command = Command::new(root().join("packaging/install"));
        command.arg("--prebuilt").arg(library_folder());
        command.arg("--prefix").arg(self.prefix()).args(words);
        text(&succeed(&mut command).stdout)
    }

    fn pkg_config(&self, words: &[&str]) -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", self.prefix().join("lib/pkgconfig")).args(words).arg("lmcache");
        text(&succeed(&mut command).stdout).split_whitespace().map(str::to_owned).collect()
    }

    /// Compiles and runs a host that records, with these flags of the linker.
    fn record_with(&self, host: &RecordingHost, flags: &[String]) {
        let program = self.folder.path().join("host");
        let mut compiler = Command::new(host.compiler);
        compiler
            .args([host.standard, "-D_GNU_SOURCE", "-pthread"])
            .arg(host.source())
            .arg("-o")
            .arg(&program)
            .args(flags);
        succeed(&mut compiler);
        let mut command = Command::new(&program);
        command.current_dir(self.folder.path()).env("LD_LIBRARY_PATH", self.prefix().join("lib"));
        assert_eq!(text(&succeed(&mut command).stdout), host.says);
    }
}

/// A host that records, and what it says.
struct RecordingHost {
    compiler: &'static str,
    standard: &'static str,
    name: &'static str,
    says: &'static str,
}

const IN_C: RecordingHost =
    RecordingHost { compiler: "cc", standard: "-std=c99", name: "record.c", says: "2800 calls\n" };

/// It needs every header of the layer for C++.
const IN_CPP: RecordingHost =
    RecordingHost { compiler: "c++", standard: "-std=c++17", name: "record.cc", says: "70 calls\n" };

impl RecordingHost {
    fn source(&self) -> PathBuf {
        root().join("tests/ffi/hosts").join(self.name)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// Whether a program is there; where everything is checked it has to be.
fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} is needed for this test");
    is_there
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let path = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("a folder can be listed").path();
    let below = |path: PathBuf| match path.is_dir() && !path.is_symlink() {
        true => files_below(&path),
        false => vec![path],
    };
    entries.map(path).flat_map(below).collect()
}

#[test]
fn a_host_finds_it_by_pkg_config_shared_and_static_and_it_goes_away() {
    if !is_there("pkg-config") {
        return;
    }
    let installed = Installed::new();
    assert_eq!(installed.pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let shared = installed.pkg_config(&["--cflags", "--libs"]);
    installed.record_with(&IN_C, &shared);
    installed.record_with(&IN_CPP, &shared);

    let archive = installed.prefix().join("lib/liblmcache.a");
    let mut flags = installed.pkg_config(&["--cflags"]);
    flags.push(archive.display().to_string());
    let private = installed.pkg_config(&["--libs", "--static"]);
    flags.extend(private.into_iter().filter(|flag| flag != "-llmcache"));
    installed.record_with(&IN_C, &flags);
    installed.record_with(&IN_CPP, &flags);
    let listed = text(&succeed(Command::new("nm").args(["-g", "--defined-only"]).arg(&archive)).stdout);
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.rsplit_once(" T ").map(|(_, name)| name)).collect();
    assert!(names.len() > 20 && names.iter().all(|name| name.starts_with("lmcache_")), "{names:?}");

    installed.run_script(&["--uninstall"]);
    assert_eq!(files_below(&installed.prefix()), Vec::<PathBuf>::new());
    assert!(!installed.prefix().join("include/lmcache").exists());
}

/// Builds and runs a host with both libraries, which CMake finds in `package`.
fn build_by_cmake(folder: &Path, package: &Path) {
    let (source, build) = (folder.join("source"), folder.join("build"));
    std::fs::create_dir(&source).expect("a folder");
    let lists = format!(
        "cmake_minimum_required(VERSION 3.16)\nproject(host C CXX)\nfind_package(lmcache 0.1 REQUIRED)\n\
         set(CMAKE_C_STANDARD 99)\nset(CMAKE_CXX_STANDARD 17)\n\
         foreach(kind lmcache lmcache_static)\n\
         add_executable(c_${{kind}} {})\nadd_executable(cpp_${{kind}} {})\n\
         foreach(host c_${{kind}} cpp_${{kind}})\n\
         target_compile_definitions(${{host}} PRIVATE _GNU_SOURCE)\n\
         target_link_libraries(${{host}} lmcache::${{kind}} pthread)\nendforeach()\nendforeach()\n",
        IN_C.source().display(),
        IN_CPP.source().display()
    );
    std::fs::write(source.join("CMakeLists.txt"), lists).expect("a file");
    let found = format!("-Dlmcache_DIR={}", package.display());
    succeed(Command::new("cmake").arg("-S").arg(&source).arg("-B").arg(&build).arg(found));
    succeed(Command::new("cmake").arg("--build").arg(&build));
    for (host, name) in [(IN_C, "c"), (IN_CPP, "cpp")] {
        for kind in ["lmcache", "lmcache_static"] {
            let program = build.join(format!("{name}_{kind}"));
            let output = succeed(Command::new(&program).current_dir(folder));
            assert_eq!(text(&output.stdout), host.says, "{}", program.display());
        }
    }
}

#[test]
fn a_host_finds_it_by_cmake_wherever_the_libraries_are() {
    if !is_there("cmake") {
        return;
    }
    let places = [("lib/x86_64-linux-gnu", true), ("PREFIX/lib64/", false), ("ELSEWHERE/lib", true)];
    for (libdir, is_built_against) in places {
        let installed = Installed { folder: tempfile::tempdir().expect("a folder") };
        let elsewhere = installed.folder.path().join("elsewhere");
        let libdir = libdir.replace("PREFIX", installed.prefix().to_str().expect("UTF-8"));
        let libdir = libdir.replace("ELSEWHERE", elsewhere.to_str().expect("UTF-8"));
        installed.run_script(&["--libdir", &libdir]);
        let libraries = installed.prefix().join(&libdir);
        if is_built_against {
            build_by_cmake(installed.folder.path(), &libraries.join("cmake/lmcache"));
        }
        let described =
            std::fs::read_to_string(libraries.join("pkgconfig/lmcache.pc")).expect("it describes itself");
        let told = described.lines().find_map(|line| line.strip_prefix("libdir=")).expect("a line");
        let told = told.replace("${prefix}", installed.prefix().to_str().expect("UTF-8"));
        assert_eq!(
            Path::new(&told).canonicalize().expect("a folder"),
            libraries.canonicalize().expect("it is")
        );
        installed.run_script(&["--libdir", &libdir, "--uninstall"]);
        assert_eq!(
            [files_below(&installed.prefix()), files_below(&elsewhere)],
            [Vec::<PathBuf>::new(), vec![]]
        );
    }
}

#[test]
fn everybody_can_read_what_root_installs_with_a_narrow_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let destdir = folder.path().join("a package & its files");
    let script = format!(
        "umask 077; exec '{}' --prebuilt '{}' --destdir '{}' --prefix /opt/lmcache",
        root().join("packaging/install").display(),
        library_folder().display(),
        destdir.display()
    );
    succeed(Command::new("sh").args(["-c", &script]));
    let prefix = destdir.join("opt/lmcache");
    let files = files_below(&prefix);
    assert!(files.len() > 8, "{files:?}");
    for file in &files {
        let mode = file.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o444, 0o444, "{}", file.display());
        let folders = file.ancestors().skip(1).take_while(|folder| folder.starts_with(&prefix));
        for folder in folders {
            assert_eq!(folder.metadata().expect("it is there").permissions().mode() & 0o755, 0o755);
        }
    }
    let config = std::fs::read_to_string(prefix.join("lib/pkgconfig/lmcache.pc")).expect("a file");
    assert!(config.starts_with("prefix=/opt/lmcache\n") && !config.contains('@'), "{config}");
}

#[test]
fn another_version_takes_the_place_of_the_one_before() {
    let installed = Installed::new();
    let library = installed.prefix().join("lib/liblmcache.so.1.0.0.9");
    std::fs::write(&library, "older").expect("a file");
    let manifest = installed.prefix().join("lib/lmcache/installed-files");
    let list = std::fs::read_to_string(&manifest).expect("a list");
    std::fs::write(&manifest, format!("{list}{}\n", library.display())).expect("a list");
    installed.run_script(&[]);
    assert!(!library.exists());
    assert_eq!(std::fs::read_to_string(&manifest).expect("a list"), list);
    installed.run_script(&["--uninstall"]);
    assert_eq!(files_below(&installed.prefix()), Vec::<PathBuf>::new());
}

/// `cargo cinstall` takes the headers from where they are, and calls the library by its ABI.
#[test]
fn what_cargo_c_is_told_is_so() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let section = |name: &str| {
        let (_, rest) = manifest.split_once(&format!("[package.metadata.capi{name}]\n")).expect("a section");
        rest.split("\n[").next().expect("its lines").to_owned()
    };
    assert!(section(".install.include").contains("{ from = \"include/**/*\", to = \"\" }"));
    assert!(
        section(".header").contains("generation = false")
            && section(".header").contains("subdirectory = false")
    );
    assert_eq!(lmcache::ffi::version::LMCACHE_ABI_MAJOR, 1);
    assert!(section(".library").contains("version = \"1.0.0\""), "a whole version, or cargo-c refuses it");
    assert!(section("").contains("min_version = \"0.10.0\""));
}

#[test]
fn what_is_wrong_with_an_installation_is_said() {
    for (words, part) in [
        (&["--prefix", "relative"][..], "has to begin with /"),
        (&["--what"], "there is no option --what"),
        (&["--prefix"], "--prefix needs a value"),
        (&["--prefix", "/opt/my lib"], "cannot carry this path: '/opt/my lib'"),
        (&["--prefix", "/opt/this&that"], "cannot carry this path"),
        (&["--prefix", "/opt/a|b"], "cannot carry this path"),
        (&["--prefix", "/opt/../b"], "must be plain"),
        (&["--prefix", "/opt", "--libdir", "my lib"], "cannot carry this path"),
        (&["--prefix", "/opt", "--libdir", ""], "--libdir is empty"),
        (&["--prefix", "/nowhere", "--uninstall"], "nothing was installed there"),
        (&["--prebuilt", "/nowhere", "--prefix", "/nowhere"], "there is no liblmcache.so"),
    ] {
        let output = Command::new(root().join("packaging/install")).args(words).output().expect("a shell");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(part), "{words:?}: {}", text(&output.stderr));
    }
}
