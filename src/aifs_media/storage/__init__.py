"""Where assets go: any S3 bucket, a local folder, or memory."""
