from aifs_media import MediaGenerator

async with MediaGenerator.from_env() as media:
    answer = await media.text("Name three colours of autumn.")
    caption = await media.caption("our new tea", audience="students", platform="Instagram", hashtag_count=3)
    script = await media.script("how to brew tea", tone="calm", duration=8)
    prompt = await media.improve_prompt("a tea pot", kind="image", style="product photo")
    film = await media.video(script)
print(answer.text, caption.text, caption.hashtags, script.hook, prompt, film.url, sep="\n")
