//! Queries of listings, of messages, and of entities.

use welkin_storage_wire::ApiVersion;
use welkin_storage_wire::blob::list as blobs;
use welkin_storage_wire::query::Query;
use welkin_storage_wire::queue::{list as queues, message};
use welkin_storage_wire::table::query as table;

use crate::input::text;
use crate::outcome::{accepted, same};

/// The query of every operation that takes more than a name.
pub(crate) fn listings(data: &[u8]) {
    let Some(query) = accepted(Query::parse(&text(data))) else { return };
    if let Some(asked) = accepted(blobs::ListQuery::of(&query)) {
        assert!((1..=blobs::RESULTS_MAX).contains(&asked.results_max));
        let written = blobs::write("http://host/account", None, &asked, &[], asked.marker.as_deref());
        assert!(roxmltree::Document::parse(&written).is_ok(), "{written}");
    }
    if let Some(asked) = accepted(queues::ListQuery::of(&query)) {
        assert!((1..=queues::PAGE_QUEUES_MAX).contains(&asked.queues_max()));
        let written = queues::list_body("http://host/account", &asked, &[], Some(&asked.marker));
        assert!(roxmltree::Document::parse(&written).is_ok(), "{written}");
    }
    if let Some(count) = accepted(message::messages_max(&query)) {
        assert!((1..=32).contains(&count));
    }
    for version in ["2009-09-19", "2021-10-04"] {
        let Ok(version) = ApiVersion::parse(version) else { continue };
        if let Some(Some(timeout)) = accepted(message::visibility_timeout(&query, 0, &version)) {
            assert!(timeout <= message::WEEK);
        }
        let _ = accepted(message::time_to_live(&query, &version));
    }
    entities(&query);
}

fn entities(query: &Query) {
    if let Some(asked) = accepted(table::Query::of(query)) {
        assert!((1..=table::PAGE_ROWS_MAX).contains(&asked.rows_max));
    }
    if let Some(Some(place)) = accepted(table::Continuation::of(query)) {
        let (partition, row) = place.to_headers();
        let row = row.map(|row| format!("&NextRowKey={row}")).unwrap_or_default();
        let written = format!("NextPartitionKey={partition}{row}");
        let again = Query::parse(&written).and_then(|query| table::Continuation::of(&query));
        same(again, &Some(place), &written);
    }
    if let Some(Some(name)) = accepted(table::next_table(query)) {
        let written = format!("NextTableName={}", table::encode(&name));
        let again = Query::parse(&written).and_then(|query| table::next_table(&query));
        same(again, &Some(name), &written);
    }
}

/// The names of queues and tables.
pub(crate) fn names(data: &[u8]) {
    let name = text(data);
    let fits = |result| accepted::<()>(result).is_none() || (3..=63).contains(&name.len());
    assert!(fits(queues::check_queue_name(&name)), "{name}");
    assert!(fits(welkin_storage_wire::table::key::check_table_name(&name)), "{name}");
}
