//! Packages that other tools made, in the layout that the classic SDK documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Cursor, Write as _};

use sha2::{Digest as _, Sha256};
use welkin_base::RoleName;
use welkin_service_model::Package;
use welkin_service_model::package::{Identity, PackageWriter};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const CSDEF: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<ServiceDefinition name=\"Shop\" \
    xmlns=\"http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition\">\r\n<WorkerRole name=\"Web\">\
    <Runtime><EntryPoint><ProgramEntryPoint commandLine=\"bin/web\" setReadyOnProcessStart=\"true\" /></EntryPoint>\
    </Runtime></WorkerRole></ServiceDefinition>";
const TYPES: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Types \
    xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"bin\" \
    ContentType=\"application/octet-stream\" /></Types>";
const RELATIONSHIPS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Relationships \
    xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship \
    Type=\"http://schemas.microsoft.com/windowsazure/PackageDefinition/Version/2012/03/15\" \
    Target=\"/package.xml\" Id=\"R1\" /></Relationships>";

/// A package as a tool would make it; each test changes one thing.
#[derive(Clone)]
struct Opc {
    relationships: String,
    /// Parts in the zip.
    parts: Vec<(String, Vec<u8>)>,
    /// Name, length, kind of digest, digest, part.
    contents: Vec<(String, usize, &'static str, String, String)>,
    /// Layout, path and content.
    files: Vec<(String, String, String)>,
    extra: String,
}

fn sha256(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(bytes))
}

impl Opc {
    fn new() -> Self {
        let mut opc = Self {
            relationships: RELATIONSHIPS.to_owned(),
            parts: Vec::new(),
            contents: Vec::new(),
            files: Vec::new(),
            extra: String::new(),
        };
        opc.content("ServiceDefinition/ServiceDefinition.csdef", CSDEF.as_bytes());
        opc.content("NamedStreams/RequiredFeatures", b"");
        opc.content("LocalContent/0a1b", b"\x7fELF program");
        opc.content("LocalContent/2c3d", b"<p>");
        opc.file("Roles/Web", "\\approot\\bin\\web", "LocalContent/0a1b");
        opc.file("Roles/Web", "\\approot\\index.html", "LocalContent/2c3d");
        opc.file("Roles/Web", "\\sitesroot\\0\\index.html", "LocalContent/2c3d");
        opc
    }

    fn content(&mut self, name: &str, bytes: &[u8]) {
        self.parts.push((name.to_owned(), bytes.to_vec()));
        self.contents.push((name.to_owned(), bytes.len(), "Sha256", sha256(bytes), name.to_owned()));
    }

    fn file(&mut self, layout: &str, path: &str, content: &str) {
        self.files.push((layout.to_owned(), path.to_owned(), content.to_owned()));
    }

    fn manifest(&self) -> String {
        let contents: String = self.contents.iter().map(|(name, bytes, kind, hash, part)| {
            let hash = if *kind == "None" {
                "<IntegrityCheckHash i:nil=\"true\" />".to_owned()
            } else {
                format!("<IntegrityCheckHash>{hash}</IntegrityCheckHash>")
            };
            format!(
                "<ContentDefinition><Name>{name}</Name><ContentDescription><LengthInBytes>{bytes}</LengthInBytes>\
                 <IntegrityCheckHashAlgortihm>{kind}</IntegrityCheckHashAlgortihm>{hash}\
                 <DataStorePath>{part}</DataStorePath></ContentDescription></ContentDefinition>\n"
            )
        }).collect();
        let files: String = self.files.iter().map(|(layout, path, content)| format!(
            "<LayoutDefinition><Name>{layout}</Name><LayoutDescription><FileDefinition><FilePath>{path}</FilePath>\
             <FileDescription><DataContentReference>{content}</DataContentReference>\
             <CreatedTimeUtc>2013-03-14T15:09:26Z</CreatedTimeUtc><ModifiedTimeUtc>2013-03-14T15:09:26Z\
             </ModifiedTimeUtc><ReadOnly>false</ReadOnly></FileDescription></FileDefinition></LayoutDescription>\
             </LayoutDefinition>\n"
        )).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<PackageDefinition xmlns=\"http://schemas.microsoft.com/windowsazure\" \
             xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><PackageMetaData><KeyValuePair>\
             <Key>http://schemas.microsoft.com/windowsazure/ProductVersion/</Key><Value>2.0.0.0</Value></KeyValuePair>\
             </PackageMetaData><PackageContents>{contents}</PackageContents><PackageLayouts>{files}</PackageLayouts>{}\
             </PackageDefinition>",
            self.extra
        )
    }

    fn zip(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        zip.add_directory("LocalContent", options).unwrap();
        let manifest = self.manifest();
        let fixed = [
            ("[Content_Types].xml", TYPES),
            ("_rels/.rels", self.relationships.as_str()),
            ("package.xml", manifest.as_str()),
        ];
        for (name, text) in fixed {
            zip.start_file(name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        for (name, bytes) in &self.parts {
            zip.start_file(name.as_str(), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn open(&self) -> Result<Vec<(String, bool, Vec<u8>)>, String> {
        let opened = Package::open(Cursor::new(self.zip()), &Identity::generate());
        let mut package = opened.map_err(|error| error.to_string())?;
        let role = RoleName::new("Web").unwrap();
        let names: Vec<(String, bool)> =
            package.files(&role).map(|(name, entry)| (name.to_owned(), entry.executable)).collect();
        Ok(names
            .into_iter()
            .map(|(name, executable)| {
                let mut bytes = Vec::new();
                package.read(&role, &name, &mut bytes).unwrap();
                (name, executable, bytes)
            })
            .collect())
    }
}

#[test]
fn a_package_of_another_tool_is_read() {
    let expected = vec![
        ("bin/web".to_owned(), true, b"\x7fELF program".to_vec()),
        ("index.html".to_owned(), false, b"<p>".to_vec()),
        ("sitesroot/0/index.html".to_owned(), false, b"<p>".to_vec()),
    ];
    assert_eq!(Opc::new().open().unwrap(), expected);
    let mut without_digests = Opc::new();
    for content in &mut without_digests.contents {
        content.2 = "None";
    }
    assert_eq!(without_digests.open().unwrap(), expected);
}

#[test]
fn it_may_be_encrypted_too() {
    let key = Identity::generate();
    let recipient = key.to_public();
    let recipients = std::iter::once::<&dyn age::Recipient>(&recipient);
    let mut sealed = Vec::new();
    let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut sealed).unwrap();
    writer.write_all(&Opc::new().zip()).unwrap();
    writer.finish().unwrap();
    assert_eq!(Package::open(Cursor::new(sealed), &key).unwrap().definition().name, "Shop");
}

#[test]
fn what_breaks_a_promise_is_refused() {
    type Change = fn(&mut Opc);
    const LAYOUT: &str = "the package is not in the documented OPC layout: ";
    let rows: [(Change, String); 22] = [
        (|opc| opc.relationships = "<a/>".into(), format!("{LAYOUT}no relationship of type http://schemas.microsoft.com/windowsazure/PackageDefinition/Version/2012/03/15 leads to its manifest")),
        (|opc| opc.relationships = "<".into(), format!("{LAYOUT}_rels/.rels is not well-formed XML: invalid name token at 1:2")),
        (|opc| opc.relationships = RELATIONSHIPS.replace("/package.xml", "../package.xml"), "the package holds \"../package.xml\": the name leads out of its folder".into()),
        (|opc| opc.relationships = RELATIONSHIPS.replace("/package.xml", "/other.xml"), "the package lacks other.xml, which its manifest names; make the package again".into()),
        (|opc| opc.parts[2].1 = b"\x7fELF grogram".to_vec(), "roles/Web/bin/web of the package has another SHA-256 digest than its manifest says; make the package again".into()),
        (|opc| opc.contents[2].1 = 3, "roles/Web/bin/web of the package has another SHA-256 digest than its manifest says; make the package again".into()),
        (|opc| opc.contents[0].3 = sha256(b""), "ServiceDefinition/ServiceDefinition.csdef of the package has another SHA-256 digest than its manifest says; make the package again".into()),
        (|opc| opc.contents[2].2 = "Md5", format!("{LAYOUT}\"LocalContent/0a1b\" has a digest of the kind \"Md5\"; Sha256 is known")),
        (|opc| opc.contents[2].3 = "AAAA".into(), format!("{LAYOUT}the digest of \"LocalContent/0a1b\" is no SHA-256 in base64")),
        (|opc| opc.contents[2].4 = "LocalContent/none".into(), "the package holds LocalContent/0a1b, which its manifest does not name; make the package again".into()),
        (|opc| drop(opc.parts.remove(2)), "the package lacks LocalContent/0a1b, which its manifest names; make the package again".into()),
        (|opc| opc.parts.push(("hidden".into(), Vec::new())), "the package holds hidden, which its manifest does not name; make the package again".into()),
        (|opc| opc.contents.push(opc.contents[2].clone()), format!("{LAYOUT}the content \"LocalContent/0a1b\" is defined twice")),
        (|opc| opc.contents[0].0 = "Definition".into(), "the package lacks ServiceDefinition/*.csdef, which its manifest names; make the package again".into()),
        (|opc| opc.file("Roles/Web", "\\approot\\..\\..\\etc\\passwd", "LocalContent/2c3d"), "the package holds \"roles/Web/../../etc/passwd\": the name leads out of its folder".into()),
        (|opc| opc.file("Roles/Web", "\\approot\\\\x", "LocalContent/2c3d"), "the package holds \"roles/Web//x\": the name has an empty part".into()),
        (|opc| opc.file("Roles/../Web", "\\approot\\x", "LocalContent/2c3d"), "the package holds \"roles/../Web/x\": the name leads out of its folder".into()),
        (|opc| opc.file("Roles/Web", "\\bin\\web", "LocalContent/2c3d"), "the package holds \"roles/Web/bin/web\": the name appears twice".into()),
        (|opc| opc.file("Roles/Web", "\\bin", "LocalContent/2c3d"), "the package holds \"roles/Web/bin\": it is both a file and a folder".into()),
        (|opc| opc.file("Roles/Other", "\\approot\\x", "LocalContent/2c3d"), "the package holds \"roles/Other/x\": it belongs to no role of the service definition".into()),
        (|opc| opc.file("Sites/Web", "\\approot\\x", "LocalContent/2c3d"), format!("{LAYOUT}the layout \"Sites/Web\" belongs to no role; expected Roles/<role>")),
        (|opc| opc.file("Roles/Web", "\\approot\\x", "LocalContent/none"), format!("{LAYOUT}the file \"\\\\approot\\\\x\" refers to \"LocalContent/none\", which no content defines")),
    ];
    for (change, expected) in rows {
        let mut opc = Opc::new();
        change(&mut opc);
        assert_eq!(opc.open().unwrap_err(), expected);
    }
}

/// One part may be many files: what they become together counts, not what the zip holds.
#[test]
fn one_part_that_is_many_files_is_a_bomb() {
    let mut opc = Opc::new();
    opc.content("LocalContent/big", &vec![7; 1 << 20]);
    for number in 0..200 {
        opc.file("Roles/Web", &format!("\\approot\\{number}"), "LocalContent/big");
    }
    let error = opc.open().unwrap_err();
    assert!(error.contains("unpacked bytes for each packed byte; at most 200 are allowed"), "{error}");
    for number in 200..20_001 {
        opc.file("Roles/Web", &format!("\\approot\\{number}"), "LocalContent/2c3d");
    }
    let error = opc.open().unwrap_err();
    assert!(error.starts_with("the package has 20001 files; at most 20000 are allowed"), "{error}");
}

#[test]
fn xml_attacks_reach_nothing() {
    let mut opc = Opc::new();
    let entity = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    opc.relationships = RELATIONSHIPS.replacen("<Rel", &format!("{entity}<Rel"), 1);
    assert!(opc.open().unwrap_err().contains("_rels/.rels is not well-formed XML"));
    let mut deep = Opc::new();
    deep.extra = "<a>".repeat(100_000);
    assert!(deep.open().unwrap_err().contains("package.xml is not well-formed XML"));
}

#[test]
fn our_own_layout_must_be_encrypted() {
    let key = Identity::generate();
    let csdef = CSDEF.trim_start_matches('\u{feff}');
    let mut writer = PackageWriter::seal(Vec::new(), &key.to_public(), csdef).unwrap();
    writer.add(&RoleName::new("Web").unwrap(), "bin/web", true, &mut &b"x"[..]).unwrap();
    let sealed = writer.finish().unwrap();
    assert!(Package::open(Cursor::new(&sealed), &key).is_ok());
    let plain = age::Decryptor::new(Cursor::new(&sealed)).unwrap();
    let mut reader = plain.decrypt(std::iter::once::<&dyn age::Identity>(&key)).unwrap();
    let mut inside = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut inside).unwrap();
    let error = Package::open(Cursor::new(inside), &key).err().unwrap().to_string();
    assert!(error.starts_with("this is a package that is not encrypted"), "{error}");
}
