//! Another number of instances in the text of a configuration, which is the customer's and otherwise stays as it is.

use std::collections::BTreeMap;

use welkin_base::RoleName;

/// The text with the counts of these roles. What is not a configuration, or has no such role, is left as it is.
#[must_use]
pub fn with_instance_counts(text: &str, counts: &BTreeMap<RoleName, u32>) -> String {
    let Ok(document) = roxmltree::Document::parse(text) else { return text.to_owned() };
    let mut places: Vec<(std::ops::Range<usize>, u32)> = Vec::new();
    for role in document.root_element().children().filter(|node| node.tag_name().name() == "Role") {
        let name = role.attribute("name").and_then(|name| RoleName::new(name).ok());
        let Some(count) = name.and_then(|name| counts.get(&name)) else { continue };
        let instances = role.children().find(|node| node.tag_name().name() == "Instances");
        let attribute = instances.and_then(|node| node.attribute_node("count"));
        places.extend(attribute.map(|attribute| (attribute.range_value(), *count)));
    }
    places.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut changed = text.to_owned();
    for (range, count) in places {
        changed.replace_range(range, &count.to_string());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_counts_change() {
        let text = "<?xml version=\"1.0\"?>\r\n<ServiceConfiguration serviceName='x'><!-- <Instances count=\"9\"/> -->\n\
                    <Role name=\"Web\"><Instances count = '10' /></Role><Role name=\"Worker\"><Instances count=\"2\"/></Role>\
                    </ServiceConfiguration>";
        let role = |name| RoleName::new(name).unwrap();
        let counts = BTreeMap::from([(role("Web"), 9), (role("Other"), 7)]);
        let expected = text.replace("'10'", "'9'");
        assert_eq!(with_instance_counts(text, &counts), expected);
        let both = BTreeMap::from([(role("Web"), 1), (role("Worker"), 100)]);
        assert_eq!(
            with_instance_counts(text, &both),
            text.replace("'10'", "'1'").replace("\"2\"", "\"100\"")
        );
        assert_eq!(with_instance_counts("no xml", &both), "no xml");
    }
}
