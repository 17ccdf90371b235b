from itertools import combinations, pairwise

from kdpipe.reporting.layering import Vertex, arrange

SIZE = (100.0, 40.0)


def node(name: str) -> Vertex:
    return ("model", name)


def arrange_names(names: str, *edges: str, kind: str = "start"):
    sizes = {node(name): SIZE for name in names}
    return arrange(sizes, {(node(edge[0]), node(edge[1])): kind for edge in edges})


def test_every_edge_runs_to_the_right():
    plan = arrange_names("abcdef", "ab", "bc", "ac", "cd", "ad", "be", "ef")
    for (source, target), route in plan.routes.items():
        assert plan.centres[source][0] + SIZE[0] <= plan.centres[target][0]
        assert all(x <= next_x for (x, _), (next_x, _) in pairwise(route))


def test_routes_start_and_end_at_the_sides_of_their_nodes():
    plan = arrange_names("abc", "ab", "bc", "ac")
    (x, y), *_, (end_x, end_y) = plan.routes[node("a"), node("c")]
    assert (x, y) == (plan.centres[node("a")][0] + 50, plan.centres[node("a")][1])
    assert (end_x, end_y) == (plan.centres[node("c")][0] - 50, plan.centres[node("c")][1])


def test_a_source_stands_beside_its_first_use():
    plan = arrange_names("dabc", "ab", "bc", "dc")
    assert plan.centres[node("d")][0] == plan.centres[node("b")][0]


def test_nodes_of_a_column_do_not_overlap():
    plan = arrange_names("abcdefgh", *(f"a{name}" for name in "bcdefg"), *(f"{name}h" for name in "bcdefg"))
    column = [plan.centres[node(name)][1] for name in "bcdefg"]
    assert min(abs(one - other) for one, other in combinations(column, 2)) >= SIZE[1]
    assert min(column) - SIZE[1] / 2 >= 0
    assert max(column) + SIZE[1] / 2 <= plan.height


def test_a_long_edge_passes_beside_the_nodes_between():
    plan = arrange_names("abc", "ab", "bc", "ac")
    left, right = plan.centres[node("b")][0] - 50, plan.centres[node("b")][0] + 50
    beside = [y for x, y in plan.routes[node("a"), node("c")] if left <= x <= right]
    assert len(beside) == 2
    assert abs(beside[0] - plan.centres[node("b")][1]) > SIZE[1] / 2


def test_crossings_that_can_be_avoided_are():
    # In the given order, a-f, b-e and c-d would all cross.
    plan = arrange_names("abcdef", "af", "be", "cd")
    lefts = [plan.centres[node(name)][1] for name in "abc"]
    rights = [plan.centres[node(name)][1] for name in "fed"]
    assert sorted(range(3), key=lefts.__getitem__) == sorted(range(3), key=rights.__getitem__)


def test_edges_of_a_kind_from_a_node_share_their_lanes():
    plan = arrange_names("abcd", "ab", "bc", "bd", "ac", "ad")
    one, other = plan.routes[node("a"), node("c")], plan.routes[node("a"), node("d")]
    assert one[:4] == other[:4]


def test_a_single_node():
    plan = arrange_names("a")
    assert plan.centres == {node("a"): (50, 25)}
    assert (plan.width, plan.routes) == (100, {})
