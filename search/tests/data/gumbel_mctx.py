"""Grows small trees with mctx's gumbel_muzero_policy and writes them as JSON, for tests/search/gumbel.rs.

    pip install mctx==0.0.71 jax
    python search/tests/data/gumbel_mctx.py > search/tests/data/gumbel_mctx.json

The model is a table: a graph of states in which each action leads to one state, with priors and a value for each state,
rewards 0 and discount 1. The root's Gumbel noise is given instead of drawn, so that both sides see the same.
"""

import json
from unittest import mock

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import mctx
import numpy as np

STATES = 40


def model(rng, actions):
    logits = rng.normal(scale=1.0, size=(STATES, actions))
    priors = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return {
        "priors": priors.astype(np.float32).astype(float).tolist(),
        "values": rng.uniform(-1, 1, size=STATES).astype(np.float32).astype(float).tolist(),
        "next": rng.integers(0, STATES, size=(STATES, actions)).tolist(),
    }


def grow(table, noise, simulations, considered, c_visit, value_scale, rescale):
    logits = jnp.log(jnp.array(table["priors"]))
    values = jnp.array(table["values"])
    following = jnp.array(table["next"])

    def recurrent(params, key, action, state):
        after = following[state, action]
        ones = jnp.ones_like(values[after])
        output = mctx.RecurrentFnOutput(
            reward=0 * ones, discount=ones, prior_logits=logits[after], value=values[after]
        )
        return output, after

    root = mctx.RootFnOutput(
        prior_logits=logits[:1], value=values[:1], embedding=jnp.zeros(1, dtype=jnp.int32)
    )
    with mock.patch.object(jax.random, "gumbel", lambda key, shape, dtype=None: jnp.array([noise])):
        output = mctx.gumbel_muzero_policy(
            params=None,
            rng_key=jax.random.PRNGKey(0),
            root=root,
            recurrent_fn=recurrent,
            num_simulations=simulations,
            max_num_considered_actions=considered,
            qtransform=lambda tree, node: mctx.qtransform_completed_by_mix_value(
                tree, node, value_scale=value_scale, maxvisit_init=c_visit, rescale_values=rescale
            ),
        )
    tree = output.search_tree
    children = np.array(tree.children_index[0])
    visits = np.array(tree.node_visits[0])
    values = np.array(tree.node_values[0])
    nodes = {}

    def walk(node, path):
        nodes[path] = [int(visits[node]), float(values[node])]
        for action, child in enumerate(children[node]):
            if child >= 0:
                walk(int(child), f"{path}.{action}")

    walk(0, "0")
    return nodes


def main():
    cases = []
    settings = [
        # actions, simulations, considered, c_visit, value_scale, rescale, noise
        (4, 16, 4, 50.0, 0.1, True, 1.0),
        (5, 32, 16, 50.0, 0.1, False, 1.0),
        (6, 40, 3, 10.0, 0.5, False, 1.0),
        (3, 25, 2, 50.0, 0.1, True, 0.0),
        (8, 50, 5, 20.0, 0.2, True, 0.0),
        (4, 30, 4, 1.0, 0.5, False, 0.0),
    ]
    for seed, (actions, simulations, considered, c_visit, scale, rescale, noisy) in enumerate(settings):
        rng = np.random.default_rng(seed)
        table = model(rng, actions)
        noise = (noisy * rng.gumbel(size=actions)).tolist()
        cases.append({
            "actions": actions,
            "simulations": simulations,
            "considered": considered,
            "c_visit": c_visit,
            "value_scale": scale,
            "rescale": rescale,
            "noise": noise,
            **table,
            "nodes": grow(table, noise, simulations, considered, c_visit, scale, rescale),
        })
    print(json.dumps({"mctx": "0.0.71", "cases": cases}))


main()
