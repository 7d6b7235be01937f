//! An object that is written in parts.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayloadMut, WriteMultipart};

use crate::{Error, Store};

/// Bytes of a part, the last excepted. S3 wants at least 5 MiB, and at most 10 000 parts.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once: with [`PART_BYTES`] this bounds the memory of an upload.
const PARTS_IN_FLIGHT_MAX: usize = 4;

/// An object that is being written in parts. Dropped unfinished, nothing of it is visible.
pub struct Upload {
    store: Store,
    path: Path,
    /// What came before the first part was full: a small object is one request, and needs no cleaning up.
    small: PutPayloadMut,
    parts: Option<WriteMultipart>,
}

impl Upload {
    pub(crate) fn new(store: Store, path: Path) -> Self {
        Self { store, path, small: PutPayloadMut::new(), parts: None }
    }

    /// Adds bytes; parts are sent as they fill. After an error the upload is lost: drop it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if self.parts.is_none() && self.small.content_length() + bytes.len() < PART_BYTES {
            self.small.push(bytes);
            return Ok(());
        }
        if self.parts.is_none() {
            self.begin_parts().await?;
        }
        self.send(bytes).await
    }

    /// Makes the object visible and durable.
    pub async fn finish(mut self) -> Result<(), Error> {
        let Some(parts) = self.parts.take() else {
            let small = std::mem::take(&mut self.small);
            return self.store.put_payload(&self.path, small.freeze()).await;
        };
        parts.finish().await.map_err(|source| Error::from_store(&self.path, source))?;
        self.store.make_durable(&self.path).await
    }

    async fn begin_parts(&mut self) -> Result<(), Error> {
        let upload = self.store.objects().put_multipart(&self.path).await;
        let upload = upload.map_err(|source| Error::from_store(&self.path, source))?;
        self.parts = Some(WriteMultipart::new_with_chunk_size(upload, PART_BYTES));
        for bytes in std::mem::take(&mut self.small).freeze() {
            self.send(bytes).await?;
        }
        Ok(())
    }

    /// Gives bytes to the parts, a part at a time, so that what waits to be sent stays bounded.
    async fn send(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        while !bytes.is_empty() {
            let sent = parts.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await;
            sent.map_err(|source| Error::from_store(&self.path, source))?;
            parts.put(bytes.split_to(bytes.len().min(PART_BYTES)));
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        // S3 keeps, and bills, parts until they are given up. Outside of a runtime a bucket's lifecycle rule must do it;
        // on local disk the library removes the file either way.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(parts.abort()));
        }
    }
}
