// What the graph page draws and nothing more: lines and areas over time, cut out of the whole of ECharts.
import * as core from 'echarts/core';
import { LineChart } from 'echarts/charts';
import { AxisPointerComponent, DatasetComponent, GridComponent, MarkLineComponent, TooltipComponent } from 'echarts/components';
import { CanvasRenderer } from 'echarts/renderers';

core.use([LineChart, AxisPointerComponent, DatasetComponent, GridComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

export const init = core.init;
