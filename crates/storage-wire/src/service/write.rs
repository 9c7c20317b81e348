//! Writes the answer of Get Service Properties, with what the version that is asked knows.

use super::{CorsRule, Logging, Metrics, ServiceProperties};
use crate::operation::Service;
use crate::request::ApiVersion;
use crate::xml::Xml;

/// From this version on, metrics are of hours and minutes, and there is CORS.
const WITH_CORS: &str = "2013-08-15";
/// From this version on, there is a retention of deleted blobs.
const WITH_DELETE_RETENTION: &str = "2017-07-29";
/// From this version on, there are websites.
const WITH_WEBSITE: &str = "2018-03-28";
/// The version of logging and metrics that were never set.
const ANALYTICS_VERSION: &str = "1.0";

/// The body.
#[must_use]
pub fn body(properties: &ServiceProperties, service: Service, version: &ApiVersion) -> String {
    let since = |first: &str| version.as_str() >= first;
    let mut xml = Xml::new();
    xml.element("StorageServiceProperties", |xml| {
        logging(xml, properties.logging.as_ref());
        if since(WITH_CORS) {
            metrics(xml, "HourMetrics", properties.hour_metrics.as_ref());
            metrics(xml, "MinuteMetrics", properties.minute_metrics.as_ref());
            xml.element("Cors", |xml| properties.cors.iter().for_each(|rule| cors_rule(xml, rule)));
        } else {
            metrics(xml, "Metrics", properties.hour_metrics.as_ref());
        }
        if service != Service::Blob {
            return;
        }
        xml.optional("DefaultServiceVersion", properties.default_version.as_deref());
        if since(WITH_DELETE_RETENTION) {
            delete_retention(xml, properties);
        }
        if since(WITH_WEBSITE) {
            static_website(xml, properties);
        }
    });
    xml.finish()
}

fn flag(xml: &mut Xml, name: &str, value: bool) {
    xml.text(name, if value { "true" } else { "false" });
}

fn logging(xml: &mut Xml, logging: Option<&Logging>) {
    xml.element("Logging", |xml| {
        xml.text("Version", logging.map_or(ANALYTICS_VERSION, |logging| &logging.version));
        flag(xml, "Delete", logging.is_some_and(|logging| logging.delete));
        flag(xml, "Read", logging.is_some_and(|logging| logging.read));
        flag(xml, "Write", logging.is_some_and(|logging| logging.write));
        retention(xml, logging.and_then(|logging| logging.retention_days));
    });
}

fn metrics(xml: &mut Xml, name: &str, metrics: Option<&Metrics>) {
    xml.element(name, |xml| {
        xml.text("Version", metrics.map_or(ANALYTICS_VERSION, |metrics| &metrics.version));
        flag(xml, "Enabled", metrics.is_some_and(|metrics| metrics.enabled));
        if let Some(include) = metrics.and_then(|metrics| metrics.include_apis) {
            flag(xml, "IncludeAPIs", include);
        }
        retention(xml, metrics.and_then(|metrics| metrics.retention_days));
    });
}

fn retention(xml: &mut Xml, days: Option<u32>) {
    xml.element("RetentionPolicy", |xml| {
        flag(xml, "Enabled", days.is_some());
        xml.optional("Days", days.map(|days| days.to_string()).as_deref());
    });
}

fn cors_rule(xml: &mut Xml, rule: &CorsRule) {
    xml.element("CorsRule", |xml| {
        xml.text("AllowedMethods", &rule.allowed_methods.join(","));
        xml.text("AllowedOrigins", &rule.allowed_origins.join(","));
        xml.text("AllowedHeaders", &rule.allowed_headers.join(","));
        xml.text("ExposedHeaders", &rule.exposed_headers.join(","));
        xml.text("MaxAgeInSeconds", &rule.max_age_seconds.to_string());
    });
}

fn delete_retention(xml: &mut Xml, properties: &ServiceProperties) {
    let policy = properties.delete_retention.as_ref();
    xml.element("DeleteRetentionPolicy", |xml| {
        flag(xml, "Enabled", policy.is_some());
        if let Some(policy) = policy {
            xml.text("Days", &policy.days.to_string());
            flag(xml, "AllowPermanentDelete", policy.allow_permanent_delete);
        }
    });
}

fn static_website(xml: &mut Xml, properties: &ServiceProperties) {
    let website = properties.static_website.as_ref();
    xml.element("StaticWebsite", |xml| {
        flag(xml, "Enabled", website.is_some());
        if let Some(website) = website {
            xml.optional("IndexDocument", website.index_document.as_deref());
            xml.optional("DefaultIndexDocumentPath", website.default_index_document_path.as_deref());
            xml.optional("ErrorDocument404Path", website.error_document_404_path.as_deref());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_see_what_they_know() {
        for (version, service, seen) in [
            ("2012-02-12", Service::Blob, "Logging Metrics"),
            ("2013-08-15", Service::Blob, "Logging HourMetrics MinuteMetrics Cors"),
            ("2017-07-29", Service::Blob, "Logging HourMetrics MinuteMetrics Cors DeleteRetentionPolicy"),
            (
                "2018-03-28",
                Service::Blob,
                "Logging HourMetrics MinuteMetrics Cors DeleteRetentionPolicy StaticWebsite",
            ),
            ("2018-03-28", Service::Queue, "Logging HourMetrics MinuteMetrics Cors"),
        ] {
            let text = body(&ServiceProperties::default(), service, &ApiVersion::parse(version).unwrap());
            let document = roxmltree::Document::parse(&text).unwrap();
            let names: Vec<_> = document.root_element().children().map(|n| n.tag_name().name()).collect();
            assert_eq!(names.join(" "), seen, "{version} {service:?}");
        }
    }
}
