//! Sends open descriptors from one process to another in a message on a socket: `SCM_RIGHTS` of unix(7).
#![allow(unsafe_code, reason = "sendmsg, recvmsg and their control messages have no safe wrapper in std")]

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors in one message (`SCM_MAX_FD`).
pub(crate) const MAX_PER_MESSAGE: usize = 253;

/// The size of a control message with [`MAX_PER_MESSAGE`] descriptors, in words, which are aligned as its header must be.
const SPACE: usize = (size_of::<libc::cmsghdr>() + MAX_PER_MESSAGE * size_of::<RawFd>()) / size_of::<usize>() + 2;

/// Sends one byte together with these descriptors.
///
/// # Errors
/// There are too many, or the connection is closed.
pub(crate) fn send(to: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > MAX_PER_MESSAGE {
        return Err(io::Error::other(format!("{} descriptors do not fit into a message", descriptors.len())));
    }
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let (mut byte, mut space) = ([0_u8], [0_usize; SPACE]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: a message of zeros is a message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    if !numbers.is_empty() {
        let length = u32::try_from(size_of_val(numbers.as_slice())).map_err(io::Error::other)?;
        message.msg_control = space.as_mut_ptr().cast();
        // SAFETY: the control message lies in `space`, which is aligned, zeroed and large enough for its header and as many
        // numbers as there may be.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), libc::CMSG_DATA(header).cast(), numbers.len());
        }
    }
    // SAFETY: all that the message points to outlives the call.
    match unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) } {
        1 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives what [`send`] sent.
///
/// # Errors
/// The connection is closed, or more descriptors came than fit.
pub(crate) fn receive(from: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let (mut byte, mut space) = ([0_u8], [0_usize; SPACE]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: a message of zeros is a message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (space.as_mut_ptr().cast(), size_of_val(&space) as _);
    // SAFETY: all that the message points to outlives the call.
    match unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) } {
        1 => {}
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => return Err(io::Error::last_os_error()),
    }
    let mut received = Vec::new();
    // SAFETY: the system wrote whole control messages into `space`; each descriptor in them is new and ours.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(control) = header.as_ref() {
            if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                #[allow(clippy::unnecessary_cast, reason = "its type is not the same in every C library")]
                let length = control.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let numbers: *const RawFd = libc::CMSG_DATA(header).cast();
                received.extend(
                    (0..length / size_of::<RawFd>())
                        .map(|at| OwnedFd::from_raw_fd(std::ptr::read_unaligned(numbers.add(at)))),
                );
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
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
