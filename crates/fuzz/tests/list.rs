//! The list of targets is whole: every parser is in it, and every target passes the inputs that are kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens as _;
use syn::{FnArg, ImplItem, Item, ReturnType, Signature, Visibility};
use welkin_fuzz::{CANARY, TARGETS};

/// Where the protocol is parsed.
const CRATES: [&str; 4] = ["storage-wire", "storage-service", "management-wire", "service-model"];
/// What clients send, as arguments of functions have it.
const SENT: [&str; 8] =
    ["str", "[u8]", "HeaderMap", "Query", "UrlQuery", "RequestHead", "Uri", "serde_json :: Value"];
/// Public functions that look like parsers and are none, each with the reason.
const OTHERS: [(&str, &str); 13] = [
    ("admin::AccountSettings::check", "settings are the operator's, and serde reads them"),
    ("definition::ServiceDefinition::role", "looks a parsed role up"),
    ("model::ServiceModel::role", "looks a parsed role up"),
    ("multipart::Part::header", "looks a parsed header up"),
    ("network_configuration::NetworkConfiguration::access_control", "looks a parsed list up"),
    ("package::write::PackageWriter::add", "writes what the developer has"),
    ("package::write::PackageWriter::seal", "writes what the developer has"),
    ("query::Query::get", "looks a parsed parameter up"),
    ("query::Query::get_filled", "looks a parsed parameter up"),
    ("request::RequestHead::header", "looks a parsed header up"),
    ("route::Parameters::query", "looks a parsed parameter up"),
    ("table::entity::Entity::get", "looks a parsed property up"),
    ("table::entity::check_whole", "counts what was parsed"),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn kept_inputs_pass() {
    for target in TARGETS {
        let inputs = files(&corpus().join(target.name));
        assert!(!inputs.is_empty(), "{} has nothing to begin with", target.name);
        for input in inputs {
            // A test that fails tells what it wrote.
            println!("{}", input.display());
            (target.run)(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn folders_are_of_targets() {
    let known: BTreeSet<&str> = TARGETS.iter().chain([&CANARY]).map(|target| target.name).collect();
    assert_eq!(known.len(), TARGETS.len() + 1, "each name is there once");
    for entry in fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(name.as_str()), "corpus/{name} is of no target");
    }
}

#[test]
#[should_panic(expected = "the canary sings")]
fn the_canary_fails() {
    (CANARY.run)(b"canary");
}

/// A public function, by its path, and whether it looks like a parser.
struct Function {
    path: String,
    parses: bool,
}

fn functions() -> Vec<Function> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for source in CRATES.map(|name| crates.join(name).join("src")) {
        let modules = modules(&source);
        let for_tests: Vec<String> =
            modules.iter().flat_map(|(name, file)| test_modules(name, file)).collect();
        for (name, file) in modules.iter().filter(|(name, _)| !for_tests.contains(name)) {
            file.items.iter().for_each(|item| take(item, name, &mut found));
        }
    }
    found
}

/// Every file of a crate, by the path of its module.
fn modules(source: &Path) -> Vec<(String, syn::File)> {
    let is_rust = |file: &PathBuf| file.extension().is_some_and(|end| end == "rs");
    let read = |file: PathBuf| {
        let relative = file.strip_prefix(source).unwrap().with_extension("");
        let parsed = syn::parse_file(&fs::read_to_string(&file).unwrap());
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (relative.to_str().unwrap().replace('/', "::"), parsed)
    };
    files(source).into_iter().filter(is_rust).map(read).collect()
}

/// The modules that a file declares for tests only.
fn test_modules(name: &str, file: &syn::File) -> Vec<String> {
    let declared = file.items.iter().filter_map(|item| match item {
        Item::Mod(module) => Some(module),
        _ => None,
    });
    let for_tests = declared.filter(|module| {
        let mut attributes = module.attrs.iter().map(|attribute| attribute.to_token_stream().to_string());
        attributes.any(|attribute| attribute.replace(' ', "") == "#[cfg(test)]")
    });
    for_tests.map(|module| format!("{name}::{}", module.ident)).collect()
}

fn take(item: &Item, module: &str, found: &mut Vec<Function>) {
    let mut add = |visibility: &Visibility, signature: &Signature, owner: &str| {
        if matches!(visibility, Visibility::Public(_)) {
            let path = format!("{module}::{owner}{}", signature.ident);
            found.push(Function { path, parses: parses(signature) });
        }
    };
    match item {
        Item::Fn(function) => add(&function.vis, &function.sig, ""),
        Item::Impl(block) if block.trait_.is_none() => {
            let syn::Type::Path(owner) = &*block.self_ty else { return };
            let owner = format!("{}::", owner.path.segments.last().unwrap().ident);
            for item in &block.items {
                if let ImplItem::Fn(function) = item {
                    add(&function.vis, &function.sig, &owner);
                }
            }
        }
        _ => {}
    }
}

/// Whether a function may refuse something that a client sent. Handlers, which are asynchronous, lean on those.
fn parses(signature: &Signature) -> bool {
    let text = |kind: &syn::Type| format!(" {} ", kind.to_token_stream());
    let refuses = match &signature.output {
        ReturnType::Default => false,
        ReturnType::Type(_, output) => {
            let output = text(output);
            output.starts_with(" Result <") || output.starts_with(" Option <")
        }
    };
    let takes = signature.inputs.iter().any(|input| match input {
        FnArg::Receiver(_) => false,
        FnArg::Typed(input) => {
            let kind = text(&input.ty);
            SENT.iter().any(|sent| kind.contains(&format!(" {sent} ")))
        }
    });
    refuses && takes && signature.asyncness.is_none()
}

#[test]
fn every_parser_has_a_target() {
    let functions = functions();
    let listed: BTreeSet<&str> = TARGETS.iter().flat_map(|target| target.parsers).copied().collect();
    let others: BTreeSet<&str> = OTHERS.iter().map(|(path, _)| *path).collect();
    let known: BTreeSet<&str> = functions.iter().map(|function| function.path.as_str()).collect();
    let gone: Vec<_> = listed.union(&others).filter(|path| !known.contains(**path)).collect();
    assert!(gone.is_empty(), "no such function: {gone:#?}");
    let parsers = functions.iter().filter(|function| function.parses).map(|function| function.path.as_str());
    let missing: Vec<_> = parsers.filter(|path| !listed.contains(path) && !others.contains(path)).collect();
    assert!(missing.is_empty(), "parsers without a target in crates/fuzz/src/lib.rs: {missing:#?}");
    assert!(listed.len() > 40, "the source was read");
}
