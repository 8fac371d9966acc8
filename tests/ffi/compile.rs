//! Compiles a host and runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the libraries of this build are. Those beside its program are of whoever ran `cargo build` last.
pub(crate) fn library_folder() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    let folder = program.parent().expect("a program lies in a folder").join("deps");
    assert!(folder.join("liblmcache.so").exists(), "the shared library is built with the tests");
    folder
}

/// A host that was compiled, in a folder of its own.
pub(crate) struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    /// Compiles `tests/ffi/hosts/<name>` with all warnings as errors, and links the shared library.
    pub(crate) fn compile(name: &str) -> Self {
        Self::compile_with(name, &[])
    }

    /// The same, with more words for the compiler.
    pub(crate) fn compile_with(name: &str, words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::compile_file(folder, &root().join("tests/ffi/hosts").join(name), words)
    }

    /// The same, of a text that is no file yet.
    pub(crate) fn compile_text(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join(name);
        std::fs::write(&source, text).expect("room for a source file");
        Self::compile_file(folder, &source, &[])
    }

    fn compile_file(folder: tempfile::TempDir, source: &Path, words: &[&str]) -> Self {
        let (compiler, standard) = match source.extension().is_some_and(|extension| extension == "c") {
            true => ("cc", "-std=c99"),
            false => ("c++", "-std=c++17"),
        };
        let libraries = library_folder();
        let output = Command::new(compiler)
            .args([
                standard,
                "-D_GNU_SOURCE",
                "-g",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-pthread",
            ])
            .args(words)
            .arg("-I")
            .arg(root().join("include"))
            .arg(source)
            .arg("-o")
            .arg(folder.path().join("host"))
            .arg("-L")
            .arg(&libraries)
            .arg("-llmcache")
            .output()
            .unwrap_or_else(|error| panic!("{compiler} is needed to build hosts: {error}"));
        assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
        // Programs look for it by its SONAME.
        let soname = folder.path().join("liblmcache.so.1");
        std::os::unix::fs::symlink(libraries.join("liblmcache.so"), soname).expect("a link");
        Self { folder }
    }

    /// Its folder, in which it runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs it; `words` come before its own name, for instance a checker.
    pub(crate) fn run_under(&self, words: &[&str], arguments: &[&str]) -> Output {
        let host = self.folder.path().join("host");
        let mut command = match words {
            [] => Command::new(host),
            [checker, options @ ..] => {
                let mut command = Command::new(checker);
                command.args(options).arg(host);
                command
            }
        };
        command.env("LD_LIBRARY_PATH", self.folder.path());
        command.current_dir(self.folder.path()).args(arguments).output().expect("the host runs")
    }

    /// Runs it, and expects it to be content.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run_under(&[], arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}
