// Only what the graph page draws: lines and areas on a time axis, cut out of the whole of ECharts.
import * as core from 'echarts/core';
import { LineChart } from 'echarts/charts';
import { GridComponent, TooltipComponent, AxisPointerComponent, DatasetComponent, DataZoomInsideComponent,
  DataZoomSliderComponent, MarkLineComponent, MarkAreaComponent, ToolboxComponent, AriaComponent } from 'echarts/components';
import { CanvasRenderer } from 'echarts/renderers';
core.use([LineChart, GridComponent, TooltipComponent, AxisPointerComponent, DatasetComponent, DataZoomInsideComponent,
  DataZoomSliderComponent, MarkLineComponent, MarkAreaComponent, ToolboxComponent, AriaComponent, CanvasRenderer]);
export const init = core.init;
export const connect = core.connect;
