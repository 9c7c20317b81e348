//! Stored access policies, and properties of the services.

use super::{Limit, Service, letters, limit, of};

const BAD_XML: &str = "400 InvalidXmlDocument";
const BAD_VALUE: &str = "400 InvalidXmlNodeValue";

fn policies(service: Service, ids: &[String]) -> super::Sample {
    let policy = |id: &String| {
        format!(
            "<SignedIdentifier><Id>{id}</Id><AccessPolicy><Permission>r</Permission></AccessPolicy></SignedIdentifier>"
        )
    };
    let policies: String = ids.iter().map(policy).collect();
    let body = format!("<SignedIdentifiers>{policies}</SignedIdentifiers>");
    let target = match service {
        Service::Blob => "/container?restype=container&comp=acl",
        Service::Queue => "/queue?comp=acl",
        Service::Table => "/table?comp=acl",
    };
    of(service, "PUT", target, &[], &body)
}

fn count(service: Service) -> impl Fn(i128) -> super::Sample {
    move |n| policies(service, &(0..n).map(|id| id.to_string()).collect::<Vec<_>>())
}

fn properties(inside: &str) -> super::Sample {
    let body = format!("<StorageServiceProperties>{inside}</StorageServiceProperties>");
    of(Service::Blob, "PUT", "/?restype=service&comp=properties", &[], &body)
}

fn rule(origins: &str, headers: &str, age: &str) -> String {
    format!(
        "<CorsRule><AllowedOrigins>{origins}</AllowedOrigins><AllowedMethods>GET</AllowedMethods>\
         <AllowedHeaders>{headers}</AllowedHeaders><ExposedHeaders/><MaxAgeInSeconds>{age}</MaxAgeInSeconds></CorsRule>"
    )
}

fn cors(rules: &str) -> super::Sample {
    properties(&format!("<Cors>{rules}</Cors>"))
}

fn repeated(text: &str, count: i128) -> String {
    vec![text; usize::try_from(count).unwrap()].join(",")
}

fn of_policies() -> Vec<Limit> {
    const IDS: &[(i128, &str)] =
        &[(0, "400 MissingRequiredXmlNode"), (1, "200"), (63, "200"), (64, "200"), (65, BAD_VALUE)];
    vec![
        limit(
            "stored access policies of a container",
            "STORAGE, section 0.2",
            &["storage-wire/access POLICIES_MAX"],
            count(Service::Blob),
            &[(0, "200"), (4, "200"), (5, "200"), (6, BAD_XML)],
        ),
        limit(
            "stored access policies of a queue",
            "STORAGE, section 0.2",
            &[],
            count(Service::Queue),
            &[(0, "204"), (4, "204"), (5, "204"), (6, BAD_XML)],
        ),
        limit(
            "stored access policies of a table",
            "STORAGE, section 0.2",
            &[],
            count(Service::Table),
            &[(0, "204"), (4, "204"), (5, "204"), (6, BAD_XML)],
        ),
        limit(
            "characters of a policy's id",
            "STORAGE, section 0.2",
            &["storage-wire/access POLICY_ID_CHARS_MAX"],
            |n| policies(Service::Blob, &[letters(n)]),
            IDS,
        ),
    ]
}

fn of_cors() -> Vec<Limit> {
    const FITS: &str = "202";
    vec![
        limit(
            "CORS rules",
            "STORAGE, section 0",
            &["storage-wire/service/read CORS_RULES_MAX"],
            |n| cors(&rule("http://a", "x", "1").repeat(usize::try_from(n).unwrap())),
            &[(0, FITS), (4, FITS), (5, FITS), (6, BAD_XML)],
        ),
        limit(
            "bytes of CORS rules",
            "Set Blob Service Properties",
            &["storage-wire/service/read CORS_BYTES_MAX"],
            // Nine names of up to 256 characters with commas, the method of three and the age of one.
            |n| {
                let header = letters(200);
                let others = 10 * 201 + 3 + 1;
                cors(&rule(&letters(n - others), &format!("{},", repeated(&header, 10)), "1"))
            },
            &[(2047, FITS), (2048, FITS), (2049, BAD_XML)],
        ),
        limit(
            "characters of an origin",
            "Set Blob Service Properties",
            &["storage-wire/service/read CORS_NAME_CHARS_MAX"],
            |n| cors(&rule(&letters(n), "x", "1")),
            &[(0, BAD_VALUE), (1, FITS), (255, FITS), (256, FITS), (257, BAD_VALUE)],
        ),
        limit(
            "origins of a CORS rule",
            "Set Blob Service Properties",
            &["storage-wire/service/read CORS_NAMES_MAX"],
            |n| cors(&rule(&repeated("http://a", n), "x", "1")),
            &[(63, FITS), (64, FITS), (65, BAD_VALUE)],
        ),
        limit(
            "headers of a CORS rule",
            "Set Blob Service Properties",
            &[],
            |n| cors(&rule("*", &repeated("x-a", n), "1")),
            &[(63, FITS), (64, FITS), (65, BAD_VALUE)],
        ),
        limit(
            "headers of a CORS rule that end with *",
            "Set Blob Service Properties",
            &["storage-wire/service/read CORS_PREFIXES_MAX"],
            |n| cors(&rule("*", &repeated("x-ms-*", n), "1")),
            &[(1, FITS), (2, FITS), (3, BAD_VALUE)],
        ),
    ]
}

fn days() -> Vec<Limit> {
    const DAYS: &[(i128, &str)] =
        &[(0, BAD_VALUE), (1, "202"), (2, "202"), (364, "202"), (365, "202"), (366, BAD_VALUE)];
    let policy = |n| format!("<Enabled>true</Enabled><Days>{n}</Days>");
    let within = move |n| {
        format!(
            "<Version>1.0</Version><Enabled>false</Enabled><RetentionPolicy>{}</RetentionPolicy>",
            policy(n)
        )
    };
    vec![
        limit(
            "days that deleted blobs are kept",
            "STORAGE, section 1",
            &["storage-wire/service/read RETENTION_DAYS_MAX"],
            move |n| properties(&format!("<DeleteRetentionPolicy>{}</DeleteRetentionPolicy>", policy(n))),
            DAYS,
        ),
        limit(
            "days that metrics are kept",
            "STORAGE, section 1",
            &[],
            move |n| properties(&format!("<HourMetrics>{}</HourMetrics>", within(n))),
            DAYS,
        ),
    ]
}

pub fn limits() -> Vec<Limit> {
    [of_policies(), of_cors(), days()].into_iter().flatten().collect()
}
