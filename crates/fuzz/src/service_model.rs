//! The service model: definition, configuration, both joined, and packages.

use std::io::{Cursor, Write as _};
use std::sync::OnceLock;

use welkin_base::RoleName;
use welkin_service_model::package::{self, FILES_MAX, UNPACKED_BYTES_MAX};
use welkin_service_model::{
    Package, PackageError, Problems, ServiceConfiguration, ServiceDefinition, text, validate,
};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::input::text as lossy;

/// A key to which nothing is encrypted.
static KEY: OnceLock<package::Identity> = OnceLock::new();
/// What stands between two parts of an input.
const BETWEEN: &str = "\n----\n";

/// What is wrong is told with its place in the text.
fn accepted<T>(result: Result<T, Problems>, text: &str) -> Option<T> {
    let problems = match result {
        Ok(value) => return Some(value),
        Err(problems) => problems,
    };
    assert!(problems.iter().count() > 0, "a refusal says why");
    let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
    for problem in problems.iter() {
        assert!((1..=lines).contains(&problem.position.line), "{problem} is not in {lines} lines");
        assert!(problem.position.column >= 1 && !problem.message.is_empty());
    }
    None
}

/// A service definition, in any encoding.
pub(crate) fn definition(data: &[u8]) {
    let Some(text) = text::decode(data) else { return };
    let Some(definition) = accepted(ServiceDefinition::parse(&text), &text) else { return };
    assert!(!definition.roles.is_empty());
    for role in &definition.roles {
        assert!(role.endpoints.names().all(|(name, _)| !name.is_empty() && role.endpoints.has(name)));
        assert!(role.local_resources.iter().all(|resource| resource.size_mib > 0));
    }
}

/// A service configuration.
pub(crate) fn configuration(data: &[u8]) {
    let Some(text) = text::decode(data) else { return };
    let Some(configuration) = accepted(ServiceConfiguration::parse(&text), &text) else { return };
    for control in &configuration.network.access_controls {
        assert!(control.rules.is_sorted_by(|a, b| a.order < b.order), "one rule decides first");
        let rules = control.rules.iter().filter(|rule| rule.order == control.rules[0].order);
        for rule in rules {
            assert_eq!(control.permits(rule.remote.addr()), rule.permit, "the first rule decides");
        }
    }
    let debug = format!("{configuration:?}");
    let values = configuration.roles.iter().flat_map(|role| &role.settings);
    for (_, value, _) in values.filter(|(_, value, _)| value.as_str().len() > 64) {
        assert!(!debug.contains(value.as_str()), "a value may be a key");
    }
}

/// A definition, and a configuration that is to fit.
pub(crate) fn service(data: &[u8]) {
    let text = lossy(data);
    let Some((first, second)) = text.split_once(BETWEEN) else { return };
    let Some(definition) = accepted(ServiceDefinition::parse(first), first) else { return };
    let Some(configuration) = accepted(ServiceConfiguration::parse(second), second) else { return };
    let longer = if first.len() > second.len() { first } else { second };
    let lines = longer.to_owned() + first + second;
    let Some(service) = accepted(validate(&definition, &configuration), &lines) else { return };
    assert_eq!(service.roles.len(), definition.roles.len());
    assert!((1..=20).contains(&service.update_domain_count()));
}

/// What was opened keeps its promises; what was not says why, and it is no fault of the reader.
fn opened(bytes: &[u8]) {
    let mut package = match Package::inside(Cursor::new(bytes), bytes.len() as u64) {
        Ok(package) => package,
        Err(error) => {
            assert!(!matches!(error, PackageError::Io(_)), "memory does not fail: {error}");
            assert!(error.to_string().len() < 100_000);
            return;
        }
    };
    let roles: Vec<RoleName> = package.definition().roles.iter().map(|role| role.name.clone()).collect();
    let (mut files, mut total) = (0, 0);
    for role in roles {
        let names: Vec<(String, u64)> =
            package.files(&role).map(|(name, entry)| (name.to_owned(), entry.bytes)).collect();
        assert!(!names.is_empty(), "each role has files");
        for (name, size) in names {
            assert!(!name.starts_with('/') && name.split('/').all(|part| !matches!(part, "" | "." | "..")));
            let mut read = Vec::new();
            package.read(&role, &name, &mut read).unwrap();
            assert_eq!(read.len() as u64, size);
            (files, total) = (files + 1, total + size);
        }
    }
    assert!(files <= FILES_MAX && total <= UNPACKED_BYTES_MAX);
}

/// The inside of a package, as bytes of a zip; and what is no package, or is one without encryption.
pub(crate) fn package(data: &[u8]) {
    opened(data);
    let key = KEY.get_or_init(package::Identity::generate);
    if let Err(error) = Package::open(Cursor::new(data), key) {
        assert!(!error.to_string().is_empty());
    }
    let _ = package::recipient(&lossy(data));
}

/// A package whose manifest is given: in the layout of `welkin package`, or, after a line, as `package.xml`.
pub(crate) fn manifest(data: &[u8]) {
    const CSDEF: &str = "<ServiceDefinition name=\"S\" \
        xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition\"><WorkerRole name=\"R\"/>\
        </ServiceDefinition>";
    let text = lossy(data);
    let mut parts = text.split(BETWEEN);
    let (manifest, relationships) = (parts.next().unwrap_or_default(), parts.next());
    let mut files = vec![("LocalContent/a", "#!/bin/sh\n"), ("roles/R/a", "#!/bin/sh\n")];
    match relationships {
        None => files.extend([("manifest.json", manifest), ("ServiceDefinition.csdef", CSDEF)]),
        Some(relationships) => files.extend([
            ("[Content_Types].xml", "<Types/>"),
            ("_rels/.rels", relationships),
            ("package.xml", manifest),
            ("ServiceDefinition/S.csdef", CSDEF),
        ]),
    }
    files.remove(usize::from(relationships.is_some()));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes.as_bytes()).unwrap();
    }
    opened(&zip.finish().unwrap().into_inner());
}
