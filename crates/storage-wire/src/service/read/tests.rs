use super::*;
use crate::service::{ServiceProperties, write};

fn of(service: Service, inside: &str) -> Result<ServiceChange, ErrorCode> {
    let body = format!("<StorageServiceProperties>{inside}</StorageServiceProperties>");
    parse(body.as_bytes(), service).map_err(|error| error.code())
}

fn check(service: Service, inside: &str, expected: Result<(), ErrorCode>) {
    assert_eq!(of(service, inside).map(|_| ()), expected, "{service:?} {inside:.300}");
}

const XML: ErrorCode = ErrorCode::InvalidXmlDocument;
const VALUE: ErrorCode = ErrorCode::InvalidXmlNodeValue;
const MISSING: ErrorCode = ErrorCode::MissingRequiredXmlNode;

#[test]
fn parts() {
    let metrics = "<Version>1.0</Version><Enabled>true</Enabled><IncludeAPIs>true</IncludeAPIs>";
    let logging = "<Version>1.0</Version><Delete>true</Delete><Read>false</Read><Write>TRUE</Write>";
    for (inside, expected) in [
        ("".to_owned(), Ok(())),
        ("<Other/>".to_owned(), Err(XML)),
        ("<Cors/><Cors/>".to_owned(), Err(XML)),
        ((0..60_000).map(|n| format!("<a{n}/>")).collect(), Err(XML)),
        (format!("<HourMetrics>{metrics}</HourMetrics>"), Ok(())),
        (format!("<Metrics>{metrics}</Metrics>"), Ok(())),
        (format!("<MinuteMetrics>{metrics}<Other/></MinuteMetrics>"), Err(XML)),
        ("<HourMetrics><Version>1.0</Version><Enabled>true</Enabled></HourMetrics>".to_owned(), Err(MISSING)),
        ("<HourMetrics><Version>1.0</Version><Enabled>false</Enabled></HourMetrics>".to_owned(), Ok(())),
        ("<HourMetrics><Version>9</Version><Enabled>false</Enabled></HourMetrics>".to_owned(), Err(VALUE)),
        (format!("<Logging>{logging}</Logging>"), Ok(())),
        ("<Logging><Version>1.0</Version></Logging>".to_owned(), Err(MISSING)),
        (format!("<Logging>{}</Logging>", logging.replace("TRUE", "yes")), Err(VALUE)),
    ] {
        for service in [Service::Blob, Service::Queue, Service::Table] {
            check(service, &inside, expected);
        }
    }
    for body in ["", "<Other/>", "<StorageServiceProperties>"] {
        assert_eq!(parse(body.as_bytes(), Service::Blob).unwrap_err().code(), XML);
    }
}

#[test]
fn only_blobs() {
    for (inside, expected) in [
        ("<DefaultServiceVersion>2021-08-06</DefaultServiceVersion>", Ok(())),
        ("<DefaultServiceVersion>2009-04-13</DefaultServiceVersion>", Err(VALUE)),
        ("<DefaultServiceVersion/>", Err(VALUE)),
        ("<DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>", Ok(())),
        ("<DeleteRetentionPolicy><Enabled>true</Enabled></DeleteRetentionPolicy>", Err(MISSING)),
        (
            "<StaticWebsite><Enabled>true</Enabled><IndexDocument>i.html</IndexDocument></StaticWebsite>",
            Ok(()),
        ),
        (
            "<StaticWebsite><Enabled>true</Enabled><IndexDocument>a/i</IndexDocument></StaticWebsite>",
            Err(VALUE),
        ),
        (
            "<StaticWebsite><Enabled>true</Enabled><IndexDocument>i</IndexDocument>\
             <DefaultIndexDocumentPath>d</DefaultIndexDocumentPath></StaticWebsite>",
            Err(VALUE),
        ),
    ] {
        check(Service::Blob, inside, expected);
        for service in [Service::Queue, Service::Table] {
            check(service, inside, Err(XML));
        }
    }
}

#[test]
fn days_of_retention() {
    for (days, expected) in
        [("0", Err(VALUE)), ("1", Ok(())), ("365", Ok(())), ("366", Err(VALUE)), ("x", Err(VALUE))]
    {
        let policy = format!("<Enabled>true</Enabled><Days>{days}</Days>");
        check(Service::Blob, &format!("<DeleteRetentionPolicy>{policy}</DeleteRetentionPolicy>"), expected);
        let metrics = format!(
            "<HourMetrics><Version>1.0</Version><Enabled>false</Enabled>\
             <RetentionPolicy>{policy}</RetentionPolicy></HourMetrics>"
        );
        check(Service::Table, &metrics, expected);
    }
}

fn rule(origins: &str, methods: &str, headers: &str, age: &str) -> String {
    format!(
        "<CorsRule><AllowedOrigins>{origins}</AllowedOrigins><AllowedMethods>{methods}</AllowedMethods>\
         <AllowedHeaders>{headers}</AllowedHeaders><ExposedHeaders>{headers}</ExposedHeaders>\
         <MaxAgeInSeconds>{age}</MaxAgeInSeconds></CorsRule>"
    )
}

#[test]
fn cors_rules() {
    let plain = rule("*", "GET", "", "1");
    let long = |chars: usize| "x".repeat(chars);
    let names = |count: usize| (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>().join(",");
    // Origins that make a rule with them, a method of three letters and a digit as long as that.
    let sized = |bytes: usize| {
        let rest = bytes - "GET".len() - "1".len() - 7 * (200 + 1);
        [[long(200), String::from(",")].concat().repeat(7), ",".repeat(rest - 256), long(256)].concat()
    };
    for (rules, expected) in [
        (String::new(), Ok(())),
        (plain.repeat(CORS_RULES_MAX), Ok(())),
        (plain.repeat(CORS_RULES_MAX + 1), Err(XML)),
        ("<Rule/>".to_owned(), Err(XML)),
        ("<CorsRule/>".to_owned(), Err(MISSING)),
        (rule("", "GET", "", "1"), Err(VALUE)),
        (rule("http://a,http://b", "GET, PUT", "x-ms-meta-*,x-ms-*,a", "0"), Ok(())),
        (rule(&long(CORS_NAME_CHARS_MAX), "GET", "", "1"), Ok(())),
        (rule(&long(CORS_NAME_CHARS_MAX + 1), "GET", "", "1"), Err(VALUE)),
        (rule(&names(CORS_NAMES_MAX), "GET", "", "1"), Ok(())),
        (rule(&names(CORS_NAMES_MAX + 1), "GET", "", "1"), Err(VALUE)),
        (rule("*", "GET", &names(CORS_NAMES_MAX), "1"), Ok(())),
        (rule("*", "GET", &names(CORS_NAMES_MAX + 1), "1"), Err(VALUE)),
        (rule("*", "GET", "a*,b*", "1"), Ok(())),
        (rule("*", "GET", "a*,b*,c*", "1"), Err(VALUE)),
        (rule("*", "GET", "a*b*", "1"), Err(VALUE)),
        (rule("*", "", "", "1"), Err(VALUE)),
        (rule("*", "TRACE", "", "1"), Err(VALUE)),
        (rule("*", "get", "", "1"), Err(VALUE)),
        (rule("*", "GET", "", "-1"), Err(VALUE)),
        (rule("*", "GET", "", "2147483647"), Ok(())),
        (rule("*", "GET", "", "2147483648"), Err(VALUE)),
        (rule(&sized(CORS_BYTES_MAX), "GET", "", "1"), Ok(())),
        (rule(&sized(CORS_BYTES_MAX + 1), "GET", "", "1"), Err(XML)),
    ] {
        check(Service::Blob, &format!("<Cors>{rules}</Cors>"), expected);
    }
}

#[test]
fn written_is_read_and_absent_is_unchanged() {
    let inside = format!(
        "<Logging><Version>2.0</Version><Delete>true</Delete><Read>false</Read><Write>true</Write>\
         <RetentionPolicy><Enabled>true</Enabled><Days>7</Days></RetentionPolicy></Logging>\
         <Cors>{}</Cors><DefaultServiceVersion>2021-08-06</DefaultServiceVersion>\
         <DeleteRetentionPolicy><Enabled>true</Enabled><Days>3</Days></DeleteRetentionPolicy>\
         <StaticWebsite><Enabled>true</Enabled><IndexDocument>i</IndexDocument></StaticWebsite>",
        rule("http://a", "GET,PUT", "x-*", "5")
    );
    let mut properties = ServiceProperties::default();
    of(Service::Blob, &inside).unwrap().apply(&mut properties);
    let version = ApiVersion::parse("2021-08-06").unwrap();
    let text = write::body(&properties, Service::Blob, &version);
    let mut again = ServiceProperties::default();
    parse(text.as_bytes(), Service::Blob).unwrap().apply(&mut again);
    // Metrics are told even where none were set.
    (again.hour_metrics, again.minute_metrics) = (None, None);
    assert_eq!(again, properties);
    let before = properties.clone();
    of(Service::Blob, "").unwrap().apply(&mut properties);
    assert_eq!(properties, before);
    let ends = "<Cors/><DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>\
                <StaticWebsite><Enabled>false</Enabled></StaticWebsite>";
    of(Service::Blob, ends).unwrap().apply(&mut properties);
    let ended = (properties.cors.len(), properties.delete_retention, properties.static_website);
    assert_eq!(ended, (0, None, None));
    assert_eq!(properties.logging, before.logging);
}
