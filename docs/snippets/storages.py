from aifs_media import MediaGenerator
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.s3 import S3Storage

bucket = S3Storage.r2(
    account_id="0123456789abcdef0123456789abcdef",
    bucket="media",
    access_key_id="0" * 32,
    secret_access_key="0" * 64,
    public_url="https://media.example.com",
)
for_customers = MediaGenerator(storage=bucket)
for_trials = MediaGenerator(storage=LocalStorage("trial"))
