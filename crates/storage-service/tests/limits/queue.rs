//! Messages.

use super::{Limit, Service, letters, limit, of, padded};

const OUT_OF_RANGE: &str = "400 OutOfRangeQueryParameterValue";
const TOO_LARGE: &str = "400 MessageTooLarge";
const WEEK: i128 = 604_800;

fn message(bytes: i128) -> String {
    format!("<QueueMessage><MessageText>{}</MessageText></QueueMessage>", letters(bytes))
}

fn put(query: &str, version: &str, body: &str) -> super::Sample {
    of(Service::Queue, "POST", &format!("/queue/messages{query}"), &[("x-ms-version", version)], body)
}

fn get(version: &'static str, name: &'static str) -> impl Fn(i128) -> super::Sample {
    move |n| {
        of(Service::Queue, "GET", &format!("/queue/messages?{name}={n}"), &[("x-ms-version", version)], "")
    }
}

fn texts() -> Vec<Limit> {
    const KIB_8: i128 = 8 << 10;
    const KIB_64: i128 = 64 << 10;
    const KIB_512: i128 = 512 << 10;
    vec![
        limit(
            "bytes of a message",
            "STORAGE, section 6",
            &["storage-wire/queue/message TEXT_BYTES_MAX"],
            |n| put("", "2019-02-02", &message(n)),
            &[(0, "201"), (1, "201"), (KIB_64 - 1, "201"), (KIB_64, "201"), (KIB_64 + 1, TOO_LARGE)],
        ),
        limit(
            "bytes of a message before 2011-08-18",
            "Put Message",
            &["storage-wire/queue/message OLD_TEXT_BYTES_MAX"],
            |n| put("", "2009-09-19", &message(n)),
            &[(KIB_8 - 1, "201"), (KIB_8, "201"), (KIB_8 + 1, TOO_LARGE)],
        ),
        limit(
            "bytes of a message in XML",
            "none: 64 KiB of which every character is escaped",
            &["storage-wire/queue/message BODY_BYTES_MAX"],
            |n| put("", "2019-02-02", &padded(&message(1), n)),
            &[(KIB_512 - 1, "201"), (KIB_512, "201"), (KIB_512 + 1, "413 RequestBodyTooLarge")],
        ),
    ]
}

fn times() -> Vec<Limit> {
    vec![
        limit(
            "seconds that a new message is invisible",
            "STORAGE, section 6",
            &[],
            |n| put(&format!("?messagettl=-1&visibilitytimeout={n}"), "2019-02-02", &message(1)),
            &[
                (-1, OUT_OF_RANGE),
                (0, "201"),
                (1, "201"),
                (WEEK - 1, "201"),
                (WEEK, "201"),
                (WEEK + 1, OUT_OF_RANGE),
            ],
        ),
        limit(
            "seconds that a new message is invisible, of ten that it lives",
            "STORAGE, section 6",
            &[],
            |n| put(&format!("?messagettl=10&visibilitytimeout={n}"), "2019-02-02", &message(1)),
            &[(8, "201"), (9, "201"), (10, OUT_OF_RANGE), (11, OUT_OF_RANGE)],
        ),
        limit(
            "seconds that a message lives",
            "STORAGE, section 6",
            &[],
            |n| put(&format!("?messagettl={n}"), "2017-07-29", &message(1)),
            &[
                (-2, OUT_OF_RANGE),
                (-1, "201"),
                (0, OUT_OF_RANGE),
                (1, "201"),
                (2, "201"),
                (WEEK, "201"),
                (WEEK + 1, "201"),
            ],
        ),
        limit(
            "seconds that a message lives, before 2017-07-29",
            "Put Message",
            &[],
            |n| put(&format!("?messagettl={n}"), "2017-07-28", &message(1)),
            &[
                (-1, OUT_OF_RANGE),
                (0, OUT_OF_RANGE),
                (1, "201"),
                (2, "201"),
                (WEEK - 1, "201"),
                (WEEK, "201"),
                (WEEK + 1, OUT_OF_RANGE),
            ],
        ),
        limit(
            "seconds that a message is invisible that was got",
            "STORAGE, section 6",
            &[],
            get("2019-02-02", "visibilitytimeout"),
            &[
                (-1, OUT_OF_RANGE),
                (0, OUT_OF_RANGE),
                (1, "200"),
                (2, "200"),
                (WEEK - 1, "200"),
                (WEEK, "200"),
                (WEEK + 1, OUT_OF_RANGE),
            ],
        ),
        limit(
            "seconds that a message is invisible that was got, before 2011-08-18",
            "Get Messages",
            &["storage-wire/queue/message OLD_VISIBILITY_TIMEOUT_MAX"],
            get("2009-09-19", "visibilitytimeout"),
            &[(0, OUT_OF_RANGE), (1, "200"), (2, "200"), (7199, "200"), (7200, "200"), (7201, OUT_OF_RANGE)],
        ),
    ]
}

pub fn limits() -> Vec<Limit> {
    let count = limit(
        "messages of a call",
        "STORAGE, section 6",
        &["storage-wire/queue/message MESSAGES_PER_CALL_MAX"],
        get("2019-02-02", "numofmessages"),
        &[
            (-1, OUT_OF_RANGE),
            (0, OUT_OF_RANGE),
            (1, "200"),
            (2, "200"),
            (31, "200"),
            (32, "200"),
            (33, OUT_OF_RANGE),
        ],
    );
    [texts(), times(), vec![count]].into_iter().flatten().collect()
}
