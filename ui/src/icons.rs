//! Line icons: Lucide, from a crate and never copied into the tree. Only those named here end up in the binary.

use icondata_core::IconData;

macro_rules! icons {
    ($($name:literal $icon:ident)*) => {
        /// An icon by its Lucide name.
        fn find(name: &str) -> Option<&'static IconData> {
            match name {
                $($name => Some(icondata_lu::$icon),)*
                _ => None,
            }
        }
        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),*];
    };
}

icons! {
    "activity" LuActivity
    "align-left" LuAlignLeft
    "app-window" LuAppWindow
    "archive" LuArchive
    "archive-restore" LuArchiveRestore
    "arrow-down" LuArrowDown
    "arrow-left" LuArrowLeft
    "arrow-right" LuArrowRight
    "arrow-up" LuArrowUp
    "arrow-left-right" LuArrowLeftRight
    "at-sign" LuAtSign
    "audio-lines" LuAudioLines
    "badge-check" LuBadgeCheck
    "ban" LuBan
    "bell" LuBell
    "bold" LuBold
    "book-open" LuBookOpen
    "bookmark" LuBookmark
    "bookmark-plus" LuBookmarkPlus
    "box" LuBox
    "calendar" LuCalendar
    "calendar-days" LuCalendarDays
    "camera" LuCamera
    "check" LuCheck
    "check-check" LuCheckCheck
    "chevron-down" LuChevronDown
    "chevron-left" LuChevronLeft
    "chevron-right" LuChevronRight
    "chevron-up" LuChevronUp
    "circle" LuCircle
    "circle-alert" LuCircleAlert
    "circle-check" LuCircleCheck
    "circle-help" LuCircleHelp
    "circle-play" LuCirclePlay
    "circle-plus" LuCirclePlus
    "circle-user" LuCircleUser
    "circle-x" LuCircleX
    "clipboard" LuClipboard
    "clipboard-paste" LuClipboardPaste
    "clock" LuClock
    "cloud" LuCloud
    "cloud-off" LuCloudOff
    "code" LuCode
    "cog" LuCog
    "compass" LuCompass
    "contact" LuContact
    "contrast" LuContrast
    "copy" LuCopy
    "corner-up-left" LuCornerUpLeft
    "download" LuDownload
    "ellipsis" LuEllipsis
    "ellipsis-vertical" LuEllipsisVertical
    "external-link" LuExternalLink
    "eye" LuEye
    "eye-off" LuEyeOff
    "feather" LuFeather
    "file" LuFile
    "file-archive" LuFileArchive
    "file-audio" LuFileAudio
    "file-code" LuFileCode
    "file-image" LuFileImage
    "file-pen" LuFilePen
    "file-plus" LuFilePlus
    "file-question" LuFileQuestion
    "file-spreadsheet" LuFileSpreadsheet
    "file-text" LuFileText
    "file-type" LuFileType
    "file-video" LuFileVideo
    "file-x" LuFileX
    "files" LuFiles
    "fingerprint" LuFingerprint
    "flag" LuFlag
    "folder" LuFolder
    "folder-input" LuFolderInput
    "folder-open" LuFolderOpen
    "folder-plus" LuFolderPlus
    "folder-up" LuFolderUp
    "folders" LuFolders
    "globe" LuGlobe
    "globe-lock" LuGlobeLock
    "grip-vertical" LuGripVertical
    "hard-drive" LuHardDrive
    "hash" LuHash
    "heading" LuHeading
    "heart" LuHeart
    "heart-handshake" LuHeartHandshake
    "history" LuHistory
    "hourglass" LuHourglass
    "house" LuHouse
    "house-plug" LuHousePlug
    "id-card" LuIdCard
    "image" LuImage
    "image-plus" LuImagePlus
    "images" LuImages
    "import" LuImport
    "inbox" LuInbox
    "info" LuInfo
    "italic" LuItalic
    "key" LuKey
    "key-round" LuKeyRound
    "keyboard" LuKeyboard
    "languages" LuLanguages
    "laptop" LuLaptop
    "layers" LuLayers
    "layout-dashboard" LuLayoutDashboard
    "layout-grid" LuLayoutGrid
    "leaf" LuLeaf
    "library" LuLibrary
    "life-buoy" LuLifeBuoy
    "link" LuLink
    "link-2" LuLink2
    "list" LuList
    "list-ordered" LuListOrdered
    "list-plus" LuListPlus
    "list-todo" LuListTodo
    "loader-circle" LuLoaderCircle
    "lock" LuLock
    "lock-keyhole" LuLockKeyhole
    "lock-open" LuLockOpen
    "log-in" LuLogIn
    "log-out" LuLogOut
    "mail" LuMail
    "mail-check" LuMailCheck
    "mail-open" LuMailOpen
    "mail-plus" LuMailPlus
    "map-pin" LuMapPin
    "menu" LuMenu
    "message-circle" LuMessageCircle
    "minus" LuMinus
    "monitor" LuMonitor
    "monitor-smartphone" LuMonitorSmartphone
    "moon" LuMoon
    "mouse-pointer-click" LuMousePointerClick
    "move" LuMove
    "music" LuMusic
    "newspaper" LuNewspaper
    "notebook" LuNotebook
    "notebook-pen" LuNotebookPen
    "package" LuPackage
    "package-check" LuPackageCheck
    "package-open" LuPackageOpen
    "palette" LuPalette
    "paperclip" LuPaperclip
    "pause" LuPause
    "pen" LuPen
    "pen-line" LuPenLine
    "pencil" LuPencil
    "phone" LuPhone
    "pin" LuPin
    "pin-off" LuPinOff
    "play" LuPlay
    "plug" LuPlug
    "plus" LuPlus
    "power" LuPower
    "presentation" LuPresentation
    "printer" LuPrinter
    "qr-code" LuQrCode
    "quote" LuQuote
    "redo-2" LuRedo2
    "refresh-cw" LuRefreshCw
    "rocket" LuRocket
    "rotate-ccw" LuRotateCcw
    "rss" LuRss
    "save" LuSave
    "search" LuSearch
    "search-x" LuSearchX
    "send" LuSend
    "server" LuServer
    "settings" LuSettings
    "settings-2" LuSettings2
    "share" LuShare
    "share-2" LuShare2
    "shield" LuShield
    "shield-alert" LuShieldAlert
    "shield-check" LuShieldCheck
    "sliders-horizontal" LuSlidersHorizontal
    "smartphone" LuSmartphone
    "sparkles" LuSparkles
    "sprout" LuSprout
    "square-pen" LuSquarePen
    "star" LuStar
    "sticky-note" LuStickyNote
    "store" LuStore
    "sun" LuSun
    "sun-moon" LuSunMoon
    "tablet" LuTablet
    "tag" LuTag
    "tags" LuTags
    "text" LuText
    "ticket" LuTicket
    "timer" LuTimer
    "trash" LuTrash
    "trash-2" LuTrash2
    "triangle-alert" LuTriangleAlert
    "truck" LuTruck
    "undo-2" LuUndo2
    "unlink" LuUnlink
    "upload" LuUpload
    "user" LuUser
    "user-plus" LuUserPlus
    "user-round" LuUserRound
    "users" LuUsers
    "video" LuVideo
    "volume-2" LuVolume2
    "wifi-off" LuWifiOff
    "wrench" LuWrench
    "x" LuX
    "zap" LuZap
}

/// An icon as inline SVG; it is decoration, so there is always a text beside it.
pub(crate) fn svg(name: &str) -> Option<String> {
    let icon = find(name)?;
    Some(format!(
        r#"<svg class="icon" viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{}</svg>"#,
        icon.data.replace('\n', "")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_has_lines() {
        for name in NAMES {
            assert!(svg(name).unwrap().contains("/>"), "{name}");
        }
        assert_eq!(svg("no-such-icon"), None);
    }
}
