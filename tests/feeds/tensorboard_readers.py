"""Reads a run's events with both of TensorBoard's readers and holds them against metrics.jsonl: tensorboard_readers.py RUN"""

import sys
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.context import RequestContext
from tensorboard.data import server_ingester
from tensorboard.data.provider import RunTagFilter
from tensorboard.util.grpc_util import ChannelCredsType

from written import written


def of_python(run):
    """Scalars, histograms and texts as TensorBoard's Python reader has them."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    scalars = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    tensors = {
        tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]
    }
    return scalars, tensors


def of_data_server(run):
    """The same as TensorBoard's data server has them."""
    binary = server_ingester.get_server_binary()
    ingester = server_ingester.SubprocessServerDataIngester(
        binary, str(run), reload_interval=1, channel_creds_type=ChannelCredsType.LOCAL,
        samples_per_plugin={"scalars": 0},
    )
    ingester.start()
    provider = ingester.data_provider
    context, asked = RequestContext(), {"experiment_id": "", "plugin_name": "scalars"}
    for _ in range(200):
        if provider.list_runs(context, experiment_id=""):
            break
        time.sleep(0.05)
    (name,) = {entry.run_name for entry in provider.list_runs(context, experiment_id="")}
    listed = provider.list_scalars(context, **asked)[name]
    read = provider.read_scalars(
        context, **asked, downsample=100_000, run_tag_filter=RunTagFilter(tags=list(listed))
    )[name]
    scalars = {tag: [(point.step, point.value) for point in points] for tag, points in read.items()}
    tensors = {}
    for plugin in ("histograms", "text"):
        asked["plugin_name"] = plugin
        tags = provider.list_tensors(context, **asked).get(name, {})
        read = provider.read_tensors(
            context, **asked, downsample=100_000, run_tag_filter=RunTagFilter(tags=list(tags))
        )
        tensors |= {tag: [point.step for point in points] for tag, points in read[name].items()}
    return scalars, tensors


def main():
    run = Path(sys.argv[1])
    wanted = written(run, narrow=True)
    shown = ["search/trees/q_value", "search/trees/sample", "search/trees/value"]
    rounds = [step for step, _ in wanted["search/trees"]]
    for name, (scalars, tensors) in {
        "Python": of_python(run), "data server": of_data_server(run)
    }.items():
        differ = [tag for tag in wanted.keys() | scalars.keys() if wanted.get(tag) != scalars.get(tag)]
        for tag in sorted(differ):
            print(f"{name}: {tag}: {wanted.get(tag)} written, {scalars.get(tag)} read")
        if {tag: rounds for tag in shown} != tensors:
            print(f"{name}: histograms and texts: {tensors}")
            differ.append(None)
        if differ:
            sys.exit(1)
    print(f"{sum(map(len, wanted.values()))} numbers of {len(wanted)} tags alike")


main()
