from aifs_media import SyncMediaGenerator

with SyncMediaGenerator.from_env() as media:
    asset = media.image("A paper boat on a puddle")
    print(asset.url)
