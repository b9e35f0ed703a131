"""Tags of KAG3 and TyranoScript that neither print nor lead anywhere: looks, pictures, sound, the system.

From KAG3's tag reference and TyranoScript's (https://tyrano.jp/tag). A tag that is in none of our tables is
counted as unknown, so that a work's own ways of naming a speaker come to light.
"""

_TEXT = """
    font resetfont deffont style resetstyle defstyle glyph locate indent endindent nowait endnowait delay
    resetdelay configdelay autowc wc hr history showhistory hidehistory showlog hidelog nolog endnolog
    pushlog mark endmark ptext mtext message_config popopo fuki_start fuki_stop fuki_chara text_config
    speak_on speak_off ns nse mappfont
"""
_PICTURES = """
    image freeimage free copylay backlay forelay layopt position laycount layermode layermode_movie
    free_layermode bg bg2 trans wt stoptrans move wm stopmove quake quake2 vibrate wq stopquake animstart
    animstop wa anim stopanim kanim stop_kanim xanim stop_xanim keyframe endkeyframe frame mapaction
    mapdisable mapimage pimage ptext mask mask_off filter free_filter camera reset_camera wait_camera
    locksnapshot unlocksnapshot clickable chara_config chara_new chara_show chara_hide chara_hide_all
    chara_mod chara_move chara_face chara_delete chara_layer chara_layer_mod chara_part chara_part_reset
    chara_define cursor showmenubutton hidemenubutton hidemessage clearfix sysbutton glink_config
    mode_effect screen_full set_resizecall
"""
_SOUND = """
    playbgm stopbgm fadeinbgm fadeoutbgm fadebgm xchgbgm pausebgm resumebgm wb wl bgmopt clearbgmlabel
    setbgmlabel clearbgmstop setbgmstop stopse fadeinse fadeoutse fadese pausese resumese wse ws wf seopt
    changevol playvideo stopvideo video videolayer openvideo preparevideo wv wp movie bgmovie stop_bgmovie
    wait_bgmovie
"""
_CODE = """
    eval trace iscript endscript html endhtml loadjs loadcss plugin loadplugin clearvar clearsysvar
    clearstack ignore endignore macro endmacro erasemacro edit input commit checkbox checkopt dialog
    dialog_config dialog_config_ok dialog_config_ng dialog_config_filter preload unload loading_log wait
    waitclick wait_cancel waittrig resetwait interrupt sleepgame awakegame breakgame sysview
    apply_local_patch check_web_patch web
"""
_SYSTEM = """
    title savesnap record label store disablestore save load copybookmark erasebookmark goback tempsave
    tempload showsave showload showmenu autosave autoload rclick cancelautomode cancelskip clickskip
    hidecursor skipstart skipstop autostart autostop autoconfig config_record_label start_keyconfig
    stop_keyconfig startanchor locklink unlocklink mousehook click cclick wheel cwheel timeout ctimeout hact
    endhact closeconfirm_on closeconfirm_off
"""
_TYRANO_BUILDER = """
    tb_start_text tb_start_tyrano_code _tb_end_tyrano_code _tb_system_call tb_show_message_window
    tb_hide_message_window tb_image_show tb_image_hide tb_ptext_show tb_ptext_hide tb_eval tb_keyconfig
    tb_cg tb_autosave
"""
QUIET = frozenset(f"{_TEXT} {_PICTURES} {_SOUND} {_CODE} {_SYSTEM} {_TYRANO_BUILDER}".split())
