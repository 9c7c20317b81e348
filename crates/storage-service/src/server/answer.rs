//! The body of an answer, which holds its request in hand until it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use welkin_transport::{Body, BoxError};

use super::seat::InHand;

/// A body, and what it holds until it is sent or given up.
pub(super) struct Answer {
    body: Body,
    _in_hand: InHand,
}

impl Answer {
    pub(super) fn new(body: Body, in_hand: InHand) -> Self {
        Self { body, _in_hand: in_hand }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
