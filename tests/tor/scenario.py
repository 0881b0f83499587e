# SPDX-License-Identifier: MIT OR Apache-2.0
"""The patched tor on a real network: what issue 3 item 2 promises.

    scenario.py HOST [--tor /usr/bin/tor] [--quick] [--only NAME,...] [--keep]

Prints one line per test. The exit code is 0 when all of them hold, and no
node crashed, leaked or complained. Tests that this machine cannot run are
named once more at the end.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import abandon
import cells
import conflux
import guard
import hold
import spared
from network import Network
from world import NotRun, World

TESTS = [
    cells.cells_reach_every_hop_and_come_back_with_equal_counters,
    cells.an_unpatched_hop_never_gets_a_cell,
    cells.launched_circuits_carry_cells_between_any_two_nodes,
    cells.bad_cells_are_dropped_and_traffic_goes_on,
    hold.a_guard_holds_a_download_and_recovers,
    hold.a_middle_holds_a_download_and_recovers,
    hold.an_exit_holds_a_download_and_recovers,
    hold.a_guard_holds_an_upload_and_recovers,
    hold.an_exit_holds_an_upload_and_recovers,
    hold.stock_clients_are_served_under_best_effort,
    hold.stock_clients_are_held_under_paid_only,
    hold.free_windows_come_from_one_pool,
    hold.the_trickle_of_one_address_is_capped,
    hold.a_circuit_that_holds_too_much_is_closed_alone,
    hold.unpaid_circuits_do_not_harm_others,
    hold.who_says_no_hello_gets_what_is_left_over,
    spared.directory_circuits_are_free,
    spared.the_word_for_a_directory_frees_no_other_circuit,
    spared.the_wallet_of_a_stopped_client_reaches_the_ledger,
    abandon.a_circuit_that_is_given_up_gets_no_new_stream_and_keeps_its_own,
    abandon.a_set_whose_leg_is_given_up_gets_no_new_stream_and_keeps_its_own,
    abandon.a_relay_gives_up_nothing,
    guard.programs_of_our_own_user_get_through_a_guarded_port,
    guard.programs_of_other_users_are_refused_and_spend_nothing,
    conflux.conflux_legs_count_for_themselves,
    conflux.the_busier_leg_is_held_and_the_client_stays_small,
    conflux.the_quieter_leg_is_held_and_the_client_stays_small,
    cells.an_onion_service_counts_like_its_hops,
    hold.a_relay_ends_well_while_it_holds_cells,
]


def complaints(net):
    """What no node may say: sanitizer reports and tor's own bug warnings."""
    found = []
    for name, node in net.nodes.items():
        for log in ("stderr", "log"):
            path = os.path.join(node.dir, log)
            if not os.path.exists(path):
                continue
            with open(path, errors="replace") as f:
                for line in f:
                    if any(word in line for word in (
                            "Sanitizer", "runtime error", "(bug)", "Bug:",
                            "assertion")):
                        found.append(f"{name}: {line.strip()}")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("--tor", default="/usr/bin/tor")
    parser.add_argument("--gencert", default="/usr/bin/tor-gencert")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    net = Network(tempfile.mkdtemp(prefix="mwtor-"),
                  os.path.abspath(args.host), args.tor, args.gencert)
    world, failed, left_out = World(net, args.quick), [], []
    try:
        world.up()
        for test in TESTS:
            if args.only and not any(o in test.__name__
                                     for o in args.only.split(",")):
                continue
            began = time.monotonic()
            try:
                note = test(world)
                print(f"ok     {test.__name__} "
                      f"({time.monotonic() - began:.1f} s)"
                      f"{': ' + note if note else ''}", flush=True)
            except NotRun as why:
                left_out.append(f"NOT RUN {test.__name__}: {why}")
                print(left_out[-1], flush=True)
            except Exception:
                traceback.print_exc()
                print(f"FAILED {test.__name__}", flush=True)
                failed.append(test.__name__)
    except Exception:
        traceback.print_exc()
        failed.append("network")
    finally:
        bad = net.stop()
    for line in complaints(net):
        print(f"complaint {line}")
        failed.append("complaint")
    for name in bad:
        print(f"FAILED {name} did not end well")
        failed.append("end")
    for line in left_out:
        print(line)
    if args.keep or failed:
        print(f"logs are kept in {net.dir}")
    else:
        net.remove()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
