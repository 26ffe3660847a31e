//! Sends open descriptors from one process to another in a message on a socket: `SCM_RIGHTS` of unix(7).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Most descriptors in one message (`SCM_MAX_FD`).
pub(crate) const MAX_PER_MESSAGE: usize = 253;

/// The size of a control message with [`MAX_PER_MESSAGE`] descriptors.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_PER_MESSAGE));

/// Sends one byte together with these descriptors.
///
/// # Errors
/// There are too many, or the connection is closed.
pub(crate) fn send(to: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other(format!("{} descriptors do not fit into a message", descriptors.len())));
    }
    match sendmsg(to, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)? {
        1 => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives what [`send`] sent.
///
/// # Errors
/// The connection is closed, or more descriptors came than fit.
pub(crate) fn receive(from: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let (mut byte, mut space) = ([0], [MaybeUninit::uninit(); SPACE]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if message.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut received = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            received.extend(descriptors);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("more descriptors came than fit"));
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_in_their_order_and_belong_to_the_receiver() {
        let (near, far) = UnixStream::pair().unwrap();
        for count in [0, 1, MAX_PER_MESSAGE] {
            let pairs: Vec<_> = (0..count).map(|_| UnixStream::pair().unwrap()).collect();
            let sent: Vec<_> = pairs.iter().map(|(_, theirs)| theirs.as_fd()).collect();
            send(near.as_fd(), &sent).unwrap();
            let received = receive(far.as_fd()).unwrap();
            assert_eq!(received.len(), count);
            for (at, (received, (mut ours, theirs))) in received.into_iter().zip(pairs).enumerate() {
                drop(theirs);
                UnixStream::from(received).write_all(&[u8::try_from(at).unwrap()]).unwrap();
                let mut bytes = Vec::new();
                ours.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, [u8::try_from(at).unwrap()]);
            }
        }
        let too_many = vec![far.as_fd(); MAX_PER_MESSAGE + 1];
        assert!(send(near.as_fd(), &too_many).is_err());
    }
}
