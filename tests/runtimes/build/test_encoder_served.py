"""An embedding model from its weights to the client: built, served by a replica, compared with transformers."""

from __future__ import annotations

import numpy as np
import openai
import pytest

from runtimes.contract import Phase, ReplicaSpec
from runtimes.edge.replica import Replica

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer and the exporters warn at every build
TEXTS = ["They do not hurry.", "A fish.", "My grandfather repaired bicycles for forty years in a narrow shop."]


def test_the_openai_client_gets_the_vectors_of_transformers(tiny_encoder, build_here):
    import torch  # noqa: PLC0415 slow, and only this test needs it
    from tokenizers import Tokenizer  # noqa: PLC0415 same
    from transformers import AutoModel  # noqa: PLC0415 same

    source = tiny_encoder("bert")
    built = build_here(source, "fp32")
    assert (built.manifest.task, built.manifest.quality.sentences) == ("embedding", 39)
    spec = ReplicaSpec(
        name="mini-0",
        owner="test",
        service="mini",
        tier="student",
        site="here",
        pool=0,
        variant="fp32",
        artifact=str(built.path),
        slots=2,
        context_tokens=512,
        threads=1,
        queue=4,
        memory_bytes=built.manifest.needs.resident_bytes,
    )
    replica = Replica(spec)
    replica.start()
    try:
        assert replica.wait(60).phase is Phase.READY, replica.report().message
        with openai.OpenAI(base_url=replica.report().url + "/v1", api_key="none", max_retries=0) as client:
            found = client.embeddings.create(model="mini", input=TEXTS)
            plain = client.embeddings.create(model="mini", input=TEXTS[0], encoding_format="float", dimensions=8)
            with pytest.raises(openai.BadRequestError, match="generates no text"):
                client.chat.completions.create(model="mini", messages=[{"role": "user", "content": "hi"}])
    finally:
        replica.stop(10)
    tokenizer, model = Tokenizer.from_file(str(source / "tokenizer.json")), AutoModel.from_pretrained(source).eval()
    for text, one in zip(TEXTS, found.data, strict=True):
        with torch.no_grad():
            mean = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0].mean(dim=0).numpy()
        np.testing.assert_allclose(one.embedding, mean / np.linalg.norm(mean), atol=2e-5)
    shorter = np.asarray(found.data[0].embedding[:8])
    np.testing.assert_allclose(plain.data[0].embedding, shorter / np.linalg.norm(shorter), atol=1e-6)
    assert found.usage.prompt_tokens == sum(len(tokenizer.encode(text).ids) for text in TEXTS)
