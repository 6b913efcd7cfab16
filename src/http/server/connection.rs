//! One connection, from its opening to its close: hyper, and the alarm that ends what takes too
//! long.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1::{self, Connection, Parts};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::conversation::{Conversation, Verdict};
use super::exchange::Exchange;
use super::linger::linger;
use super::wire::Wire;
use super::{Routes, Rules};

/// The longest head of a request, in bytes, give or take what comes in one read, and the most that
/// waits to be written: front ends let no longer one through, and for all
/// [`Limits::connections`](super::Limits::connections) together it is a quarter of the memory that
/// the service is given.
const BUFFER: usize = 32 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    conversation: Arc<Conversation>,
    routes: impl Routes,
    rules: Arc<Rules>,
) {
    let wire = Wire::new(stream, Arc::clone(&conversation));
    let exchange =
        Exchange { routes, conversation: Arc::clone(&conversation), rules: Arc::clone(&rules) };
    let mut http = speak_http(wire, exchange);

    let mut alarm = pin!(sleep_until(Instant::now() + rules.limits.head));
    let is_done = loop {
        let pause = poll_fn(|cx| {
            loop {
                // An error needs no other end than success: its answer, if it got one, is out.
                if Pin::new(&mut http).poll(cx).is_ready() {
                    return Poll::Ready(Pause::Done);
                }
                match conversation.judge(&rules, cx.waker()) {
                    Verdict::Continue => {}
                    Verdict::Look => return Poll::Ready(Pause::Look),
                    Verdict::Close => return Poll::Ready(Pause::Overdue),
                    Verdict::Wait(None) => return Poll::Pending,
                    Verdict::Wait(Some(due)) => {
                        // Setting a timer takes the runtime's lock. Deadlines mostly move further
                        // away, so one that rings too early, and then is set again, is set far less
                        // often.
                        if alarm.is_elapsed() || alarm.deadline() > due {
                            alarm.as_mut().reset(due);
                        }
                        if alarm.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        })
        .await;
        match pause {
            Pause::Done => break true,
            Pause::Overdue => break false,
            Pause::Look => {
                // hyper shows what it holds to whoever takes it apart, and to nobody else. Between
                // two requests it knows nothing that a new one would not.
                let Parts { io, read_buf, service, .. } = http.into_parts();
                conversation.looked(!read_buf.is_empty());
                http = speak_http(io.into_inner().with_unread(read_buf), service);
            }
        }
    };

    if is_done {
        conversation.closing();
        let stream = http.into_parts().io.into_inner().into_stream();
        linger(stream, &rules.limits).await;
    }
}

/// Why hyper is not polled for a moment, or any more.
enum Pause {
    /// HTTP is over.
    Done,
    /// Time is up.
    Overdue,
    /// To see whether the next head has begun.
    Look,
}

fn speak_http<R: Routes>(
    wire: Wire,
    exchange: Exchange<R>,
) -> Connection<TokioIo<Wire>, Exchange<R>> {
    http1::Builder::new()
        // A client that ends its side after its request still waits for the answer.
        .half_close(true)
        // As Go writes them: a client that compares bytes is wrong, and is there.
        .title_case_headers(true)
        .max_buf_size(BUFFER)
        // It would count idle time; ours begins with the first byte.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(wire), exchange)
}
