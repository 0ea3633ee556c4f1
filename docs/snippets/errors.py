from aifs_media import JobError, MediaError, MediaGenerator, RequestRejectedError

try:
    asset = await MediaGenerator.from_env().image("A lighthouse in a storm")
except RequestRejectedError as error:
    print("Change the request:", error)
except JobError as error:
    print("Look at the job:", error.job, "maybe billed:", error.maybe_billed)
except MediaError as error:
    print(error.code, error, "retry later" if error.retryable else "")
