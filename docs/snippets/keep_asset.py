from aifs_media import Asset, MediaGenerator

asset = await MediaGenerator.from_env().image("A lighthouse in a storm")
text = asset.model_dump_json()
assert Asset.model_validate_json(text) == asset
