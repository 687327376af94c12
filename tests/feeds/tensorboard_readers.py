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


def of_data_server(run, wanted):
    """The same as TensorBoard's data server has them, once it has read all that is wanted or some seconds have passed."""
    ingester = server_ingester.SubprocessServerDataIngester(
        server_ingester.get_server_binary(), str(run), reload_interval=1,
        channel_creds_type=ChannelCredsType.LOCAL, samples_per_plugin={"scalars": 0},
    )
    ingester.start()
    provider, context = ingester.data_provider, RequestContext()

    def points(plugin, list_tags, read):
        """Tags of a plugin, each with its points; of the one run that there is."""
        asked = {"experiment_id": "", "plugin_name": plugin}
        runs = list_tags(context, **asked)
        tags = RunTagFilter(tags=[tag for tags in runs.values() for tag in tags])
        found = read(context, **asked, downsample=100_000, run_tag_filter=tags)
        return {tag: points for tags in found.values() for tag, points in tags.items()}

    def read():
        scalars = points("scalars", provider.list_scalars, provider.read_scalars)
        tensors = {}
        for plugin in ("histograms", "text"):
            tensors |= points(plugin, provider.list_tensors, provider.read_tensors)
        return (
            {tag: [(point.step, point.value) for point in found] for tag, found in scalars.items()},
            {tag: [point.step for point in found] for tag, found in tensors.items()},
        )

    for _ in range(200):
        if read()[0] == wanted:
            break
        time.sleep(0.05)
    return read()


def main():
    run = Path(sys.argv[1])
    wanted = written(run, narrow=True)
    shown = ["search/trees/q_value", "search/trees/sample", "search/trees/value"]
    rounds = [step for step, _ in wanted["search/trees"]]
    for name, (scalars, tensors) in {
        "Python": of_python(run), "data server": of_data_server(run, wanted)
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
