//! What the guide shows in C and C++, compiled and run as it stands there.

use crate::compile::{Host, root};

/// All that is shown in a language, as one program: each part goes on where the one before it ended, and may use its names again.
fn program_of(language: &str) -> String {
    let guide = std::fs::read_to_string(root().join("docs/embedding.md")).expect("the guide");
    let opening = format!("```{language}\n");
    let parts: Vec<&str> =
        guide.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(parts.len() > 2, "{language}: {}", parts.len());
    let (mut includes, mut code) = (String::new(), String::new());
    for line in parts.iter().flat_map(|part| std::iter::once("{").chain(part.lines())) {
        let to = if line.starts_with("#include") { &mut includes } else { &mut code };
        to.push_str(line);
        to.push('\n');
    }
    format!("{includes}int main(void)\n{{\n{code}{}\nreturn 0;\n}}\n", "}".repeat(parts.len()))
}

#[test]
fn what_it_shows_in_c_runs() {
    let host = Host::compile_text("guide.c", &program_of("c"));
    assert_eq!(host.succeed(&[]), "2 calls, 0 of 0 chunks served\n");
    assert!(host.folder().join("engine.lct").exists());
}

#[test]
fn what_it_shows_in_cpp_runs() {
    let host = Host::compile_text("guide.cc", &program_of("cpp"));
    let said = host.succeed(&[]);
    assert_eq!(said.matches("tenant-1").count(), 32, "two records of 16 keys each: {said}");
    assert!(said.ends_with("0 of 0 chunks served\n"), "{said}");
    assert!(host.folder().join("storage.lct").exists());
}
