"""Work on objects: runs that failed, old versions, compression. Found, judged, planned, carried out in portions, and brought back."""
