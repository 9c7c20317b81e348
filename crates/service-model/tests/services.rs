//! Services as they were written from 2010 to 2015, and what each is told here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use welkin_service_model::{
    Problem, Problems, ServiceConfiguration, ServiceDefinition, ServiceModel, validate,
};

fn file(name: &str) -> String {
    let path = format!("{}/tests/data/services/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn model(name: &str) -> Result<ServiceModel, Problems> {
    let definition = ServiceDefinition::parse(&file(&format!("{name}.csdef")))?;
    validate(&definition, &ServiceConfiguration::parse(&file(&format!("{name}.cscfg")))?)
}

/// Each problem as `csdef 12: message`.
fn lines<'p>(problems: impl IntoIterator<Item = &'p Problem>) -> Vec<String> {
    let line = |problem: &Problem| {
        let file = if problem.to_string().starts_with("service definition") { "csdef" } else { "cscfg" };
        format!("{file} {}: {}", problem.position.line, problem.message)
    };
    problems.into_iter().map(line).collect()
}

#[test]
fn what_each_is_told() {
    let expected = file("told.txt");
    let mut told = String::new();
    for name in
        ["aspnet-2010", "iis-2012", "node-2012", "java-2013", "dotnet-2013", "network-2015", "vmrole-2010"]
    {
        let (outcome, lines) = match model(name) {
            Ok(model) => ("accepted", lines(&model.warnings)),
            Err(problems) => ("refused", lines(problems.iter())),
        };
        told.push_str(&format!("{name} {outcome}\n"));
        for line in lines {
            told.push_str(&format!("  {line}\n"));
        }
    }
    assert!(told == expected, "these were told:\n{told}");
}
