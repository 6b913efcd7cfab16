//! The socket as hyper sees it.
//!
//! Passes every byte through and tells the [`Conversation`] what happens; deadlines are not kept
//! here. Three things differ from a plain socket: an idle one can be ended from our side, what was
//! read can be given back, and hyper's own shutdown does nothing, because the close is
//! [`linger`](super::linger)'s.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::conversation::Conversation;

pub(super) struct Wire {
    stream: TcpStream,
    conversation: Arc<Conversation>,
    /// What was given back.
    unread: Bytes,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, conversation: Arc<Conversation>) -> Self {
        Self { stream, conversation, unread: Bytes::new() }
    }

    /// The same, with bytes that were read from it and are to be read again.
    pub(super) fn with_unread(self, unread: Bytes) -> Self {
        Self { unread, ..self }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Asks the kernel itself: tokio's word on readiness can be older than the last packet.
    fn has_nothing_to_read(&self) -> bool {
        let peeked = SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn note_write<T>(&self, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_pending() {
            self.conversation.write_blocked();
        } else {
            self.conversation.write_went_on();
        }
        outcome
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let count = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if outcome.is_pending() {
            if self.conversation.nothing_came() {
                if self.has_nothing_to_read() {
                    return Poll::Ready(Ok(()));
                }
                self.conversation.bytes_came();
            }
        } else if buffer.filled().len() > before {
            self.conversation.bytes_came();
        }
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.note_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
