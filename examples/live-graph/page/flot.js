// The graph as in 2011: the same calls of Flot with the same options. Other
// than the connection, which is not a WebSocket any more, new are the holes, and
// what Flot 4 must be told: that times are in ms, which axis follows the data, and
// which does not.

'use strict';

/* global $, live */

$(function () {
  const $placeholder = $('#placeholder');
  const datalen = 100;
  let plot = null;
  let holes = [];
  let due = 0;
  const series = {
    label: 'Value',
    lines: { show: true, fill: true },
    points: { show: true },
    data: [],
  };
  const markings = () => holes.map(({ from, to }) => ({ xaxis: { from, to }, color: 'rgba(128, 128, 128, 0.35)' }));

  function draw() {
    due = 0;
    if (plot) {
      plot.setData([series]);
      plot.setupGrid(true);
      plot.draw();
    } else if (series.data.length > 10) {
      plot = $.plot($placeholder, [series], {
        xaxis: { mode: 'time', timeformat: '%H:%M:%S', minTickSize: [2, 'second'], timeBase: 'milliseconds', timezone: 'browser' },
        yaxis: { min: 0, max: 5, autoScale: 'none' },
        grid: { markings },
      });
      plot.draw();
    }
  }

  new ResizeObserver(() => {
    if (!plot) return;
    plot.resize();
    draw();
  }).observe($placeholder[0]);

  live({
    onmessage(d) {
      series.data.push([d.x, d.y]);
      while (series.data.length > datalen) series.data.shift();
      due ||= requestAnimationFrame(draw); // points that come together are drawn together
    },
    onhole(hole) {
      series.data.push(null); // here the line ends
      holes = [...holes.slice(-datalen), hole];
    },
    onanew() {
      series.data = [];
    },
    onopen() {
      $('#conn_status').html('<b>Connected</b>');
    },
    onerror() {
      $('#conn_status').html('<b>Error</b>');
    },
    onclose() {
      $('#conn_status').html('<b>Closed</b>');
    },
  });
});
