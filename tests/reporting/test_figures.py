import xml.etree.ElementTree as ElementTree

from kdpipe.reporting.figures import COLOURS, add_legend, grid_of_axes, look_of, to_svg, use_log_scale


def draw(salt: str = "salt", label: str = "a") -> str:
    with grid_of_axes(1, 1, (2, 1)) as (figure, (axis,)):
        axis.plot([1, 2], [1, 2], **look_of(0))
        axis.set_title(label)
        add_legend(figure, {label: look_of(0), "other": look_of(1)})
        return to_svg(figure, salt)


def test_the_same_figure_gives_the_same_bytes():
    assert draw() == draw()


def test_figures_of_a_page_share_no_ids():
    def ids(svg: str) -> set[str | None]:
        return {element.get("id") for element in ElementTree.fromstring(svg).iter()} - {None}

    one, other = (draw(salt).replace("xlink:href", "href") for salt in ("one", "other"))
    assert ids(one)
    assert not ids(one) & ids(other)


def test_colours_follow_the_page_and_nothing_is_loaded():
    svg = draw()
    assert "var(--ink)" in svg
    assert "#010101" not in svg
    assert "http" not in svg
    assert "<metadata" not in svg


def test_texts_are_escaped_and_no_formulas():
    assert "&lt;b&gt; $x$" in draw(label="<b> $x$")


def test_rows_of_axes_are_even():
    with grid_of_axes(5, 4, (2, 1)) as (figure, axes):
        assert len(axes) == 5
        assert tuple(figure.get_size_inches()) == (6, 2)


def test_looks_repeat_late():
    assert len({(look["color"], look["marker"]) for look in map(look_of, range(64))}) == 64
    assert [look_of(index)["color"] for index in range(8)] == list(COLOURS)


def test_logarithmic_ticks_are_plain_numbers():
    with grid_of_axes(1, 1, (3, 2)) as (figure, (axis,)):
        axis.plot([1, 2], [0.02, 3])
        use_log_scale(axis, "y")
        svg = to_svg(figure, "salt")
    assert ">0.05<" in svg
    assert "mathdefault" not in svg
