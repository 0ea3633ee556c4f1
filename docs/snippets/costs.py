from aifs_media import MediaGenerator

media = MediaGenerator.from_env()
for provider, capability in media.models("image"):
    if capability.price is not None:
        print(f"{provider}:{capability.model}", capability.price.amount, "per", capability.price.per)

cost = (await media.image("A lighthouse in a storm")).cost
if cost.amount is None:
    print("unknown, which is not the same as free")
else:
    print(cost.amount, cost.currency, cost.status, "by", cost.source, "of", cost.as_of)
