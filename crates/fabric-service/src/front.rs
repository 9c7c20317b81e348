//! Who is answered, and by whom: the leader answers management, every replica answers the others.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use welkin_fabric_wire::ControllerStatus;
use welkin_pki::Thumbprint;
use welkin_transport::server::Peer;
use welkin_transport::{Body, json, text};

use crate::api;
use crate::content::Kind;
use crate::leadership::{Leadership, Watched};
use crate::replica::Replica;

/// What a call meets first.
#[derive(Debug)]
pub(crate) struct Front {
    pub replica: Arc<Replica>,
    pub leadership: Watched,
    /// Those who may have deployments made.
    pub clients: Vec<Thumbprint>,
    /// Those who may drain and retire nodes.
    pub operators: Vec<Thumbprint>,
}

/// Who calls, by the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Management.
    Client,
    /// The operator.
    Operator,
    /// Another controller: whoever else there is would not have been let in.
    Replica,
}

impl Front {
    fn caller(&self, peer: Peer) -> Caller {
        let thumbprint = peer.certificate.map(|certificate| certificate.thumbprint());
        let is_in = |known: &[Thumbprint]| thumbprint.is_some_and(|thumbprint| known.contains(&thumbprint));
        if is_in(&self.clients) {
            Caller::Client
        } else if is_in(&self.operators) {
            Caller::Operator
        } else {
            Caller::Replica
        }
    }
}

/// Answers a call.
pub(crate) async fn answer(front: Arc<Front>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    let caller = front.caller(peer);
    let path = request.uri().path();
    if path == "/v1/controller" {
        return json(StatusCode::OK, &status(&front));
    }
    if let Some(content) = path.strip_prefix("/v1/content/") {
        if caller != Caller::Replica {
            return text(StatusCode::FORBIDDEN, "content is for other fabric controllers");
        }
        let Some((kind, digest)) = parse(content) else {
            return text(StatusCode::NOT_FOUND, "there is no such content");
        };
        let folder = match kind {
            Kind::Packages => &front.replica.packages,
            Kind::Images => &front.replica.images,
        };
        return crate::peer::answer(folder, kind, &digest, request).await;
    }
    if caller == Caller::Replica {
        return text(StatusCode::FORBIDDEN, "this is for management and the operator");
    }
    let leadership = front.leadership.borrow().clone();
    match leadership {
        Leadership::Ours(controller, term) if term.as_ref().is_none_or(|term| term.is_held()) => {
            api::answer(controller, caller, request).await
        }
        Leadership::Ours(..) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "this fabric controller cannot tell whether it still leads: etcd does not answer",
        ),
        Leadership::Theirs(leader) => text(
            StatusCode::MISDIRECTED_REQUEST,
            format!("this fabric controller follows: ask {leader}, which leads"),
        ),
        Leadership::Unknown(why) => {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("no fabric controller is known to lead: {why}"))
        }
    }
}

fn parse(content: &str) -> Option<(Kind, welkin_base::Digest)> {
    let (kind, digest) = content.split_once('/')?;
    Some((Kind::of(kind)?, digest.parse().ok()?))
}

fn status(front: &Front) -> ControllerStatus {
    let name = front.replica.name.clone();
    let (leads, leader, trouble) = match &*front.leadership.borrow() {
        Leadership::Ours(_, term) if term.as_ref().is_none_or(|term| term.is_held()) => {
            (true, Some(name.clone()), None)
        }
        Leadership::Ours(..) => (false, None, Some("etcd does not answer".to_owned())),
        Leadership::Theirs(leader) => (false, Some(leader.clone()), None),
        Leadership::Unknown(why) => (false, None, Some(why.clone())),
    };
    ControllerStatus { name, leads, leader, trouble }
}
