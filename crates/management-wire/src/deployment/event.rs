//! Reboots of a deployment's instances.

use welkin_fabric_wire::{RebootEvent, RebootReason};

use crate::xml::Element;

/// The element `DeploymentEventCollection` (SMAPI §6). All there is fits into one answer, so nothing continues it.
#[must_use]
pub fn element(events: &[RebootEvent]) -> Element {
    let events = events.iter().map(|event| {
        Element::new("RebootEvent")
            .with("RoleName", &event.role)
            .with("InstanceName", &event.instance)
            .with("RebootReason", reason(event.reason))
            .with("RebootStartTime", event.at.to_iso_seconds())
    });
    Element::new("DeploymentEventCollection")
        .child(Element::new("RebootEvents").children(events))
        .child(Element::new("ContinuationToken"))
}

/// `RebootReason`, for people: the classic texts are not known.
fn reason(reason: RebootReason) -> &'static str {
    match reason {
        RebootReason::Asked => "UserRequested",
        RebootReason::Update => "DeploymentUpdate",
        RebootReason::Failed => "VirtualMachineFailure",
        RebootReason::Moved => "NodeFailure",
        RebootReason::Drained => "NodeMaintenance",
    }
}

#[cfg(test)]
mod tests {
    use welkin_base::{InstanceName, RoleName, Timestamp};

    use super::*;

    #[test]
    fn events() {
        let event = RebootEvent {
            instance: InstanceName::new("Web_IN_0").unwrap(),
            role: RoleName::new("Web").unwrap(),
            reason: RebootReason::Moved,
            at: Timestamp::from_ticks(0),
        };
        let text = String::from_utf8(element(&[event]).to_document()).unwrap();
        let expected = "<RebootEvents><RebootEvent><RoleName>Web</RoleName><InstanceName>Web_IN_0</InstanceName>\
                        <RebootReason>NodeFailure</RebootReason><RebootStartTime>1970-01-01T00:00:00Z</RebootStartTime>\
                        </RebootEvent></RebootEvents><ContinuationToken/>";
        assert!(text.contains(expected), "{text}");
    }
}
